#include "sys/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

#include "sys/cpu.h"

namespace phial {
namespace {

std::unique_ptr<ThreadPool> make_pool(int threads) {
  Result<std::unique_ptr<ThreadPool>> pool = ThreadPool::create(threads);
  EXPECT_TRUE(pool.ok());
  return std::move(pool).value();
}

TEST(ThreadPool, RefusesImpossibleCounts) {
  for (const int threads : {-1, 0, 1025}) {
    const auto pool = ThreadPool::create(threads);
    ASSERT_FALSE(pool.ok()) << threads;
    EXPECT_EQ(pool.error().code, ErrorCode::usage);
  }
}

TEST(ThreadPool, RunsEachWorkerOnceAndZeroOnTheCaller) {
  for (const int threads : {1, 2, 3, 7}) {
    const auto pool = make_pool(threads);
    EXPECT_EQ(pool->size(), threads);
    for (int job = 0; job < 200; ++job) {
      std::vector<int> calls(static_cast<size_t>(threads));  // each worker its own: no atomics
      std::thread::id zero;
      pool->run([&](int worker) {
        ++calls[static_cast<size_t>(worker)];
        if (worker == 0) zero = std::this_thread::get_id();
      });
      ASSERT_EQ(calls, std::vector<int>(static_cast<size_t>(threads), 1));
      ASSERT_EQ(zero, std::this_thread::get_id());
    }
  }
}

TEST(ThreadPool, TakesConstAndMutableCallables) {
  const auto pool = make_pool(2);
  std::atomic<int> calls{0};
  const auto constant = [&](int) { ++calls; };
  pool->run(constant);
  auto counter = [&calls, own = 0](int worker) mutable {
    if (worker == 0) own = 1;
    if (worker == 0) calls += own;
  };
  pool->run(counter);
  EXPECT_EQ(calls, 3);
}

// Jobs after pauses of different length find the workers spinning, falling asleep and asleep.
TEST(ThreadPool, WakesSleepingWorkers) {
  const auto pool = make_pool(3);
  int64_t sum = 0;
  for (int job = 0; job < 300; ++job) {
    std::vector<int64_t> values(3);
    pool->run([&](int worker) { values[static_cast<size_t>(worker)] = worker + job; });
    sum += std::accumulate(values.begin(), values.end(), int64_t{0});
    std::this_thread::sleep_for(std::chrono::microseconds(job % 150));
  }
  EXPECT_EQ(sum, 300 * 3 + 3 * (299 * 300 / 2));
}

TEST(ThreadPool, WaitsForAWorkerThatIsLate) {
  const auto pool = make_pool(2);
  bool late = false;
  pool->run([&](int worker) {
    if (worker != 1) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    late = true;
  });
  EXPECT_TRUE(late);
}

TEST(ThreadPool, CallersTakeTurns) {
  const auto pool = make_pool(2);
  int64_t unguarded = 0;  // written by whichever job runs: a race if two ran at once
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int job = 0; job < 100; ++job) {
        pool->run([&](int worker) {
          if (worker == 1) ++unguarded;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(unguarded, 300);
}

// Every phase reads what all others wrote in the phase before.
void check_phases(ThreadPool& pool, int phases) {
  const int n = pool.size();
  std::vector<int> cells(static_cast<size_t>(n));
  std::atomic<int> wrong{0};
  pool.run([&](int worker) {
    for (int phase = 1; phase <= phases; ++phase) {
      cells[static_cast<size_t>(worker)] = phase;
      pool.barrier();
      for (const int cell : cells) wrong += cell != phase;
      pool.barrier();
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Barrier, SeparatesPhases) {
  for (const int threads : {1, 2, 4}) check_phases(*make_pool(threads), 500);
}

// With twice as many workers as processors a meeting needs context switches. Waiters that only spun
// would burn a scheduler slice (3 ms and more) at each of the 4,000 meetings, 12 s in all; those
// that sleep use their short spin. Processor time, because other processes stretch the clock's.
TEST(Barrier, SurvivesOversubscription) {
  const auto pool = make_pool(2 * probe_cpu().logical_cores);
  const double per_worker = 1.0 / pool->size();
  const std::clock_t before = std::clock();
  check_phases(*pool, 2000);
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used * per_worker, 3.0);
}

TEST(ThreadPool, BindsWorkersToCoresWhenItFillsTheMachine) {
  const CpuInfo machine = probe_cpu();
  if (machine.cores.size() < 2) GTEST_SKIP() << "not executed: one core";
  const auto cores_of_workers = [](int threads) {
    const auto pool = make_pool(threads);
    std::vector<std::vector<std::vector<int>>> cores(static_cast<size_t>(threads));
    pool->run([&](int worker) { cores[static_cast<size_t>(worker)] = probe_cpu().cores; });
    return cores;
  };
  const auto full = cores_of_workers(machine.physical_cores);
  for (size_t w = 0; w < full.size(); ++w)
    EXPECT_EQ(full[w], (std::vector<std::vector<int>>{machine.cores[w]}));
  EXPECT_EQ(probe_cpu().cores, machine.cores) << "the caller after a job";
  for (const int threads : {1, machine.physical_cores + 1}) {
    for (const auto& cores : cores_of_workers(threads)) EXPECT_EQ(cores, machine.cores);
  }
}

// 200 ms of idling may cost the spin after the last job and little else.
TEST(ThreadPool, AnIdlePoolUsesNoProcessorTime) {
  const auto pool = make_pool(4);
  pool->run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used, 0.05);
}

TEST(Share, CoversTheRangeInOrderWithoutGaps) {
  for (const int64_t count : {0, 1, 5, 63, 64, 65, 1000}) {
    for (const int64_t grain : {1, 8, 64}) {
      for (const int workers : {1, 2, 3, 8}) {
        int64_t at = 0;
        int64_t largest = 0;
        int64_t smallest = count;
        for (int worker = 0; worker < workers; ++worker) {
          const Share share = share_of(count, grain, worker, workers);
          ASSERT_EQ(share.begin, at);
          ASSERT_GE(share.end, share.begin);
          if (share.end != count) {
            ASSERT_EQ(share.end % grain, 0);
          }
          at = share.end;
          largest = std::max(largest, share.end - share.begin);
          smallest = std::min(smallest, share.end - share.begin);
        }
        ASSERT_EQ(at, count);
        // Balanced to one unit, plus the unit that `count` cuts short.
        ASSERT_LT(largest - smallest, 2 * grain);
      }
    }
  }
}

TEST(Deal, GivesEachUnitToOneWorker) {
  for (const int workers : {1, 2, 3, 8}) {
    const auto pool = make_pool(workers);
    for (const int64_t units : {0, 1, 2, 9, 64, 1001}) {
      std::vector<std::atomic<int>> taken(static_cast<size_t>(units));
      Deal deal(workers);
      pool->run([&](int worker) {
        deal.take(units, worker, workers, [&](int64_t begin, int64_t end) {
          for (int64_t u = begin; u < end; ++u) ++taken[static_cast<size_t>(u)];
        });
      });
      for (const std::atomic<int>& count : taken) ASSERT_EQ(count, 1) << units;
    }
  }
}

TEST(Deal, WorkersThatAreDoneTakeWhatALateOneLeaves) {
  Deal deal(2);
  const auto all_of = [&deal](int worker) {
    std::vector<Share> parts;
    deal.take(80, worker, 2, [&](int64_t begin, int64_t end) { parts.push_back({begin, end}); });
    return parts;
  };
  const auto is = [](const Share& part, int64_t begin, int64_t end) {
    return part.begin == begin && part.end == end;
  };
  const std::vector<Share> first = all_of(0);
  ASSERT_EQ(first.size(), 9u);
  // Its own share in the order of memory, then the other's from the end.
  EXPECT_TRUE(is(first[0], 0, 35) && is(first[1], 35, 38) && is(first[2], 38, 39));
  EXPECT_TRUE(is(first[3], 39, 40) && is(first[4], 79, 80) && is(first[8], 75, 76));
  const std::vector<Share> second = all_of(1);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_TRUE(is(second[0], 40, 75));
}

TEST(Threads, DefaultCountIsInRange) {
  EXPECT_GE(default_thread_count(), 1);
  EXPECT_LE(default_thread_count(), probe_cpu().logical_cores);
}

}  // namespace
}  // namespace phial
