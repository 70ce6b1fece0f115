#include "sys/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <system_error>

#include "base/checked.h"
#include "sys/cpu.h"

namespace phial {
namespace {

constexpr int kMaxThreads = 1024;

// Long enough to bridge the serial code between two jobs of one forward pass, short enough that an
// idle pool is asleep before anyone notices.
constexpr std::chrono::microseconds kSpin{50};

// Waiters that spin longer than this have likely lost the processor to the one they wait for.
constexpr std::chrono::microseconds kBarrierSpin{20};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// Whether `done` became true within `limit`. The clock is read once per 64 looks.
template <class Done>
bool spin_until(std::chrono::microseconds limit, const Done& done) {
  for (int i = 0; i < 64; ++i) {
    if (done()) return true;
    pause();
  }
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

void SpinBarrier::wait() {
  const uint32_t generation = generation_.load(std::memory_order_relaxed);
  // acq_rel: the last to arrive has seen what the others wrote, and its release below passes it on.
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == workers_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    return;
  }
  const auto passed = [&] { return generation_.load(std::memory_order_acquire) != generation; };
  if (spin_until(kBarrierSpin, passed)) return;
  while (!passed()) sched_yield();
}

struct ThreadPool::State {
  std::mutex caller;  // held by the thread that runs a job
  // The job, written before `epoch` moves on.
  Job job = nullptr;
  void* context = nullptr;
  bool stop = false;
  alignas(64) std::atomic<uint32_t> epoch{0};      // jobs started; workers wait for it to change
  alignas(64) std::atomic<uint32_t> sleepers{0};   // workers that may be asleep on `epoch`
  alignas(64) std::atomic<uint32_t> remaining{0};  // workers still at the current job
  std::vector<std::thread> threads;

  // Both sides are sequentially consistent: either the worker's wait sees the new epoch, or the
  // caller sees the sleeper.
  void start_epoch() {
    epoch.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) != 0) epoch.notify_all();
  }
};

ThreadPool::ThreadPool(int threads)
    : threads_(threads), barrier_(threads), state_(std::make_unique<State>()) {}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    return usage_error("threads", "expected 1 to " + std::to_string(kMaxThreads) + ", got " +
                                      std::to_string(threads));
  }
  std::unique_ptr<ThreadPool> pool(new ThreadPool(threads));
  State& state = *pool->state_;
  try {
    state.threads.reserve(static_cast<size_t>(threads - 1));
    for (int worker = 1; worker < threads; ++worker) {
      state.threads.emplace_back([p = pool.get(), worker] { p->worker_loop(worker); });
    }
  } catch (const std::system_error& error) {
    return failed("threads",
                  "the system started " + std::to_string(state.threads.size() + 1) + " of " +
                      std::to_string(threads) + " threads: " + error.what(),
                  "ask for fewer threads");
  }
  return pool;
}

ThreadPool::~ThreadPool() {
  state_->stop = true;
  state_->start_epoch();
  for (std::thread& thread : state_->threads) thread.join();
}

void ThreadPool::worker_loop(int worker) {
  State& state = *state_;
  for (uint32_t seen = 0;; ++seen) {
    const auto started = [&] { return state.epoch.load(std::memory_order_acquire) != seen; };
    if (!spin_until(kSpin, started)) {
      state.sleepers.fetch_add(1, std::memory_order_seq_cst);
      while (state.epoch.load(std::memory_order_seq_cst) == seen) {
        state.epoch.wait(seen, std::memory_order_seq_cst);
      }
      state.sleepers.fetch_sub(1, std::memory_order_relaxed);
    }
    if (state.stop) return;
    state.job(state.context, worker);
    if (state.remaining.fetch_sub(1, std::memory_order_acq_rel) == 1) state.remaining.notify_one();
  }
}

void ThreadPool::run_erased(Job job, void* context) {
  State& state = *state_;
  const std::lock_guard<std::mutex> lock(state.caller);
  if (threads_ == 1) return job(context, 0);
  state.job = job;
  state.context = context;
  state.remaining.store(static_cast<uint32_t>(threads_ - 1), std::memory_order_relaxed);
  state.start_epoch();
  job(context, 0);
  const auto finished = [&] { return state.remaining.load(std::memory_order_acquire) == 0; };
  if (spin_until(kSpin, finished)) return;
  for (uint32_t left; (left = state.remaining.load(std::memory_order_acquire)) != 0;) {
    state.remaining.wait(left, std::memory_order_acquire);
  }
}

Share share_of(int64_t count, int64_t grain, int worker, int workers) {
  const int64_t units = ceil_div(count, grain);
  // The first units % workers workers take one unit more.
  const int64_t each = units / workers;
  const int64_t more = units % workers;
  const int64_t begin = each * worker + std::min<int64_t>(worker, more);
  const int64_t end = begin + each + (worker < more ? 1 : 0);
  return {std::min(begin * grain, count), std::min(end * grain, count)};
}

int default_thread_count() { return std::max(1, probe_cpu().physical_cores); }

}  // namespace phial
