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

// Hands the units [0, units) of one piece of work to the workers of a pool.
class Deal {
 public:
  // For take(), by up to `workers` workers.
  explicit Deal(int workers = 0)
      : workers_(workers), shares_(std::make_unique<Taken[]>(static_cast<size_t>(workers))) {}

  // Before any worker takes, and after the last work has ended.
  void reset() {
    dealt_.store(0, std::memory_order_relaxed);
    for (int w = 0; w < workers_; ++w) shares_[w].store(0, std::memory_order_relaxed);
  }

  // Calls fn(begin, end) for ranges of units until all are given out: each worker goes through its
  // own equal share from the front, and then takes units off the ends of the others'. So ranges
  // follow one another in memory, and a worker whose core is slow or taken away for a while does
  // not hold up the others by its whole share. All workers of the piece must pass the same counts.
  // REQUIRES: units < 2^32
  template <class Fn>
  void take(int64_t units, int worker, int workers, const Fn& fn) {
    const Share own = share_of(units, 1, worker, workers);
    const int64_t sure = sure_units(own);
    if (sure > 0) fn(own.begin, own.begin + sure);
    // Half of what is left, and half of the rest: others can take the other one.
    for (Share part; take_part(own, worker, End::front, part);) fn(part.begin, part.end);
    for (int i = 1; i < workers; ++i) {
      const int other = (worker + i) % workers;
      const Share from = share_of(units, 1, other, workers);
      for (Share part; take_part(from, other, End::back, part);) fn(part.begin, part.end);
    }
  }

  // Calls fn(unit) for units that differ in their work, the largest of which come first.
  template <class Fn>
  void take_each(int64_t units, const Fn& fn) {
    for (int64_t unit; (unit = dealt_.fetch_add(1, std::memory_order_relaxed)) < units;) fn(unit);
  }

 private:
  // Of a share: units taken from its front, and in the upper half from its end.
  using Taken = std::atomic<uint64_t>;
  enum class End { front, back };

  // What nobody else takes.
  static int64_t sure_units(const Share& share) { return (share.end - share.begin) * 7 / 8; }
  // Takes a part of what is left of the share that is `worker`'s; false: nothing is.
  bool take_part(const Share& share, int worker, End end, Share& part);

  const int workers_;
  const std::unique_ptr<Taken[]> shares_;
  alignas(64) std::atomic<int64_t> dealt_{0};  // units that were given out one by one
};

// Physical cores this process may run on (hyperthread siblings count once); at least 1.
int default_thread_count();

}  // namespace phial
