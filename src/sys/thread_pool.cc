#include "sys/thread_pool.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>

#include "base/checked.h"
#include "sys/cpu.h"

namespace phial {
namespace {

constexpr int kMaxThreads = 1024;

// Long enough to bridge the serial code between two jobs of one forward pass, short enough that an
// idle pool is asleep before anyone notices.
constexpr int32_t kIdleSpinNs = 100'000;

// A worker that is not there after this long has likely lost its processor to another program: the
// one that waits has to give up its own, so that the scheduler has one to give to the late one.
// When that happens the next waits spin for less, down to the least, and for more again once
// workers arrive in time.
constexpr int32_t kMostSpinNs = 50'000;
constexpr int32_t kLeastSpinNs = 2'000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

// Whether `done` became true within about `limit_ns`. The clock is read once per 64 looks.
template <class Done>
bool spin_until(int32_t limit_ns, const Done& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(limit_ns);
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// std::atomic::wait would first call sched_yield, which under load costs the rest of a time slice
// and the right to be woken early.
void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_all(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

void Turnstile::advance() {
  // Both sides are sequentially consistent: either the sleeper sees the new count and does not
  // sleep, or the sleeper is seen here.
  count_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) wake_all(count_);
}

bool Turnstile::wait_past(uint32_t seen, int32_t spin_ns) {
  const auto passed = [&] { return count_.load(std::memory_order_acquire) != seen; };
  for (int i = 0; i < 64; ++i) {  // before any look at the clock: workers mostly meet at once
    if (passed()) return true;
    pause();
  }
  if (spin_until(spin_ns, passed)) return true;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  while (count_.load(std::memory_order_seq_cst) == seen) sleep_while(count_, seen);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

bool Barrier::arrive() {
  // acq_rel: the last to arrive has seen what the others wrote, and its advance passes it on.
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) != workers_ - 1) return false;
  arrived_.store(0, std::memory_order_relaxed);
  passes_.advance();
  return true;
}

void Barrier::wait() {
  const uint32_t seen = passes_.count();
  if (arrive()) return;
  const int32_t spin = spin_ns_.load(std::memory_order_relaxed);
  const int32_t next = passes_.wait_past(seen, spin) ? std::min(kMostSpinNs, spin + spin / 4)
                                                     : std::max(kLeastSpinNs, spin / 2);
  if (next != spin) spin_ns_.store(next, std::memory_order_relaxed);
}

struct ThreadPool::State {
  std::mutex caller;  // held by the thread that runs a job
  // The job, written before `started` advances.
  Job job = nullptr;
  void* context = nullptr;
  bool stop = false;
  Turnstile started;  // jobs; workers wait for the next
  // The core of each worker; empty when they are not bound.
  std::vector<std::vector<int>> cores;
  std::vector<std::thread> threads;
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
  // Only a pool that fills the machine is bound. A smaller one would take the first cores, as would
  // the next program's, while others idle; a larger one has to be moved about.
  if (CpuInfo cpu = probe_cpu(); threads > 1 && std::ssize(cpu.cores) == threads) {
    state.cores = std::move(cpu.cores);
  }
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
  state_->started.advance();
  for (std::thread& thread : state_->threads) thread.join();
}

void ThreadPool::worker_loop(int worker) {
  State& state = *state_;
  std::optional<CoreBinding> binding;
  if (!state.cores.empty()) binding.emplace(state.cores[static_cast<size_t>(worker)]);
  for (uint32_t seen = 0;; ++seen) {
    state.started.wait_past(seen, kIdleSpinNs);
    if (state.stop) return;
    state.job(state.context, worker);
    barrier_.arrive();
  }
}

void ThreadPool::run_erased(Job job, void* context) {
  State& state = *state_;
  const std::lock_guard<std::mutex> lock(state.caller);
  if (threads_ == 1) return job(context, 0);
  std::optional<CoreBinding> binding;
  if (!state.cores.empty()) binding.emplace(state.cores[0]);
  state.job = job;
  state.context = context;
  state.started.advance();
  job(context, 0);
  barrier_.wait();
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

bool Deal::take_part(const Share& share, int worker, End end, Share& part) {
  const int64_t first = share.begin + sure_units(share);
  Taken& taken = shares_[static_cast<size_t>(worker)];
  uint64_t seen = taken.load(std::memory_order_relaxed);
  for (;;) {
    const auto front = static_cast<int64_t>(seen & UINT32_MAX);
    const auto back = static_cast<int64_t>(seen >> 32);
    const int64_t left = share.end - first - front - back;
    if (left <= 0) return false;
    const int64_t count = end == End::front ? (left + 1) / 2 : 1;
    const uint64_t more = end == End::front ? static_cast<uint64_t>(count) : uint64_t{1} << 32;
    if (!taken.compare_exchange_weak(seen, seen + more, std::memory_order_relaxed)) continue;
    part.begin = end == End::front ? first + front : share.end - back - count;
    part.end = part.begin + count;
    return true;
  }
}

int default_thread_count() { return std::max(1, probe_cpu().physical_cores); }

}  // namespace phial
