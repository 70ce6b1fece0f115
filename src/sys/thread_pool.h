// A persistent pool for one model's compute: the calling thread is worker 0, the others spin for a
// short time after each job and then sleep, so that back-to-back jobs cost no system call and an
// idle pool costs no CPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/status.h"

namespace phial {

// A count that goes up, and that threads wait for: they spin for a while, then sleep until it
// moves. What was written before advance() is seen behind wait_past().
class Turnstile {
 public:
  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  void advance();
  // Returns when count() is not `seen`; whether that was within about `spin_ns`, without sleep.
  bool wait_past(uint32_t seen, int32_t spin_ns);

 private:
  // A line of their own: sleepers are written seldom, the count is what waiters read.
  alignas(64) std::atomic<uint32_t> count_{0};
  alignas(64) std::atomic<uint32_t> sleepers_{0};
};

// All workers meet here; about 60 ns for two threads that arrive together. Whoever waits for a
// worker that is late (an oversubscribed machine) soon sleeps and leaves it the processor. What a
// worker wrote before wait() is seen by all after it.
class Barrier {
 public:
  explicit Barrier(int workers) : workers_(workers) {}
  void wait();
  // Counts as wait() for the others, without waiting for them; whether this was the last worker.
  // The next meeting must not begin before this one has ended for a reason of its own.
  bool arrive();

 private:
  alignas(64) std::atomic<int> arrived_{0};
  Turnstile passes_;
  alignas(64) std::atomic<int32_t> spin_ns_{20'000};  // of the next wait
  const int workers_;
};

// A pool of as many threads as the process may use cores binds each to one, the caller for the
// time of a job, so that no two of them ever share a core while another is idle.
class ThreadPool {
 public:
  // Starts `threads` - 1 threads. usage for a count outside 1..1024; failed when the system
  // refuses to start them.
  static Result<std::unique_ptr<ThreadPool>> create(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls fn(worker) once on each worker 0..size()-1, worker 0 on the calling thread, and returns
  // when all are done. fn must not throw and must not call run() of the same pool. One caller at a
  // time; callers on several threads take turns.
  template <class Fn>
  void run(Fn&& fn) {
    using Callable = std::remove_reference_t<Fn>;
    run_erased([](void* context, int worker) { (*static_cast<Callable*>(context))(worker); },
               const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
  }

  // Workers of the job that runs now meet here. Every worker must call it equally often.
  void barrier() { barrier_.wait(); }

 private:
  explicit ThreadPool(int threads);
  using Job = void (*)(void* context, int worker);
  void run_erased(Job job, void* context);
  void worker_loop(int worker);

  struct State;
  const int threads_;
  Barrier barrier_;
  std::unique_ptr<State> state_;
};

// The contiguous share of [0, count) that `worker` of `workers` takes, cut at multiples of `grain`.
struct Share {
  int64_t begin;
  int64_t end;
};
Share share_of(int64_t count, int64_t grain, int worker, int workers);

// Hands the units [0, units) of one piece of work to the workers of a pool: seven eighths in equal
// shares, each one contiguous, and the rest unit by unit to whoever is done first. So a worker
// whose core is slow or taken away for a while does not hold up the others by its whole share.
class Deal {
 public:
  // Before any worker takes, and after the last work has ended.
  void reset() { dealt_.store(0, std::memory_order_relaxed); }

  // Calls fn(begin, end) for ranges of units until all are given out. All workers of the piece must
  // pass the same counts.
  template <class Fn>
  void take(int64_t units, int worker, int workers, const Fn& fn) {
    const int64_t share = units * 7 / 8 / workers;
    if (share > 0) fn(share * worker, share * (worker + 1));
    const int64_t rest = share * workers;
    take_each(units - rest, [&](int64_t unit) { fn(rest + unit, rest + unit + 1); });
  }

  // Calls fn(unit) for units that differ in their work, the largest of which come first.
  template <class Fn>
  void take_each(int64_t units, const Fn& fn) {
    for (int64_t unit; (unit = dealt_.fetch_add(1, std::memory_order_relaxed)) < units;) fn(unit);
  }

 private:
  alignas(64) std::atomic<int64_t> dealt_{0};  // units that were given out one by one
};

// Physical cores this process may run on (hyperthread siblings count once); at least 1.
int default_thread_count();

}  // namespace phial
