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

// All workers meet here; about 60 ns for two threads that arrive together. Spins, then yields when
// a worker is late (an oversubscribed machine). What a worker wrote before wait() is seen by all
// after it.
class SpinBarrier {
 public:
  explicit SpinBarrier(int workers) : workers_(workers) {}
  void wait();

 private:
  // A line of their own: arrivals are writes, waiting is reading.
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  const int workers_;
};

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
  SpinBarrier barrier_;
  std::unique_ptr<State> state_;
};

// The contiguous share of [0, count) that `worker` of `workers` takes, cut at multiples of `grain`.
struct Share {
  int64_t begin;
  int64_t end;
};
Share share_of(int64_t count, int64_t grain, int worker, int workers);

// Physical cores this process may run on (hyperthread siblings count once); at least 1.
int default_thread_count();

}  // namespace phial
