// Scales of two levels: an integer for each group times a float16 for the superblock.
#include <algorithm>
#include <cmath>
#include <limits>

#include "quantize/group_batch.h"
#include "tensor/numbers.h"
#include "tensor/two_level.h"

namespace phial {
namespace {

// What one superblock is made of, and the error it comes to.
struct Scales {
  uint16_t d = 0, dmin = 0;
  int16_t scales[16] = {};
  int16_t minimums[16] = {};
};

// One search, of all superblocks of a batch at once.
class SuperSearch {
 public:
  SuperSearch(const SearchTable& search, const SearchCodes& codes, int groups_per_block, int low,
              int high, bool has_minimums, GroupBatch& batch)
      : search_(search),
        codes_(codes),
        groups_(groups_per_block),
        low_(low),
        high_(high),
        has_minimums_(has_minimums),
        batch_(batch) {}

  void run(const SearchPlan& plan, BlockCodes* blocks) {
    for (int b = 0; b < blocks_count(); ++b) {
      Scales& own = best_[b];
      const int lane = b * groups_;
      own.d = fit_scales(batch_.scales + lane, groups_, low_, high_, own.scales);
      if (!has_minimums_) continue;
      float depths[16];
      for (int g = 0; g < groups_; ++g) depths[g] = -batch_.minimums[lane + g];
      own.dmin = fit_scales(depths, groups_, 0, high_, own.minimums);
    }
    choose(best_, nullptr);
    remember();
    for (int round = 0; round < plan.rounds; ++round) {
      try_neighbours();
      refit();
    }
    choose(best_, batch_.codes);
    for (int b = 0; b < blocks_count(); ++b) write(b, blocks[b]);
  }

 private:
  int blocks_count() const { return kSearchLanes / groups_; }

  // The errors and sums of `of`.
  void choose(const Scales* of, uint8_t* chosen) {
    for (int lane = 0; lane < kSearchLanes; ++lane) {
      const Scales& own = of[lane / groups_];
      const int g = lane % groups_;
      batch_.scales[lane] = f16_to_f32(own.d) * static_cast<float>(own.scales[g]);
      batch_.minimums[lane] = -(f16_to_f32(own.dmin) * static_cast<float>(own.minimums[g]));
    }
    search_.choose(batch_.groups(), codes_, batch_.scales,
                   has_minimums_ ? batch_.minimums : nullptr, &batch_.sums, chosen);
  }

  void remember() { std::copy_n(batch_.sums.error, kSearchLanes, error_); }

  // Each group's integers one up or down, under the superblock's scales as they are.
  void try_neighbours() {
    Scales tried[kMaxBlocks];
    const Scales from[kMaxBlocks] = {best_[0], best_[1]};
    for (int ds = -1; ds <= 1; ++ds) {
      for (int dm = has_minimums_ ? -1 : 0; dm <= (has_minimums_ ? 1 : 0); ++dm) {
        if (ds == 0 && dm == 0) continue;
        for (int b = 0; b < blocks_count(); ++b) {
          tried[b] = from[b];
          for (int g = 0; g < groups_; ++g) {
            const int scale = std::clamp(from[b].scales[g] + ds, low_, high_);
            tried[b].scales[g] = static_cast<int16_t>(scale);
            const int minimum = std::clamp(from[b].minimums[g] + dm, 0, high_);
            tried[b].minimums[g] = static_cast<int16_t>(minimum);
          }
        }
        choose(tried, nullptr);
        for (int lane = 0; lane < kSearchLanes; ++lane) {
          if (!(batch_.sums.error[lane] < error_[lane])) continue;
          error_[lane] = batch_.sums.error[lane];
          const int b = lane / groups_, g = lane % groups_;
          best_[b].scales[g] = tried[b].scales[g];
          best_[b].minimums[g] = tried[b].minimums[g];
        }
      }
    }
  }

  // The superblock's scales by least squares for integers and codes as they are; kept where that is
  // better with the codes that are then nearest.
  void refit() {
    choose(best_, nullptr);
    Scales tried[kMaxBlocks];
    for (int b = 0; b < blocks_count(); ++b) tried[b] = refitted(b);
    choose(tried, nullptr);
    for (int b = 0; b < blocks_count(); ++b) {
      const float* now = batch_.sums.error + b * groups_;
      float* before = error_ + b * groups_;
      float sum_now = 0, sum_before = 0;
      for (int g = 0; g < groups_; ++g) sum_now += now[g], sum_before += before[g];
      if (!(sum_now < sum_before)) continue;
      best_[b] = tried[b];
      std::copy_n(now, groups_, before);
    }
  }

  Scales refitted(int b) const {
    // Of the sum of w (x - d s q + dmin m)^2 by d and dmin.
    double dd = 0, dm = 0, mm = 0, dx = 0, mx = 0;
    const Scales& own = best_[b];
    for (int g = 0; g < groups_; ++g) {
      const int lane = b * groups_ + g;
      const double s = own.scales[g], m = own.minimums[g];
      dd += s * s * static_cast<double>(batch_.sums.wqq[lane]);
      dm -= s * m * static_cast<double>(batch_.sums.wq[lane]);
      mm += m * m * static_cast<double>(batch_.sums.w[lane]);
      dx += s * static_cast<double>(batch_.sums.wxq[lane]);
      mx -= m * static_cast<double>(batch_.sums.wx[lane]);
    }
    Scales out = own;
    const double determinant = dd * mm - dm * dm;
    if (has_minimums_ && determinant > 1e-9 * dd * mm) {
      out.d = f32_to_f16(static_cast<float>((dx * mm - mx * dm) / determinant));
      out.dmin = f32_to_f16(static_cast<float>((mx * dd - dx * dm) / determinant));
    } else if (!has_minimums_ && dd > 0) {
      out.d = f32_to_f16(static_cast<float>(dx / dd));
    }
    const bool sound = std::isfinite(f16_to_f32(out.d)) && std::isfinite(f16_to_f32(out.dmin));
    return sound ? out : own;
  }

  void write(int b, BlockCodes& out) const {
    const Scales& own = best_[b];
    out.d = own.d;
    out.m = own.dmin;
    std::copy_n(own.scales, groups_, out.scales);
    std::copy_n(own.minimums, groups_, out.minimums);
    std::copy_n(batch_.lane_codes(b * groups_), kSuperblockValues, out.codes);
  }

  static constexpr int kMaxBlocks = 2;

  const SearchTable& search_;
  const SearchCodes codes_;
  const int groups_, low_, high_;
  const bool has_minimums_;
  GroupBatch& batch_;
  Scales best_[kMaxBlocks];
  float error_[kSearchLanes];
};

}  // namespace

void search_with_minimums(const SearchTable& search, const SearchPlan& plan, int groups_per_block,
                          int top_scale, int top_code, GroupBatch& batch, BlockCodes* blocks) {
  const SearchCodes codes = {0, static_cast<float>(top_code), nullptr};
  search.fit_range(batch.groups(), codes, plan.cuts.data(), static_cast<int>(plan.cuts.size() / 2),
                   plan.refits, true, batch.scales, batch.minimums);
  SuperSearch(search, codes, groups_per_block, 0, top_scale, true, batch).run(plan, blocks);
}

void search_signed(const SearchTable& search, const SearchPlan& plan, int groups_per_block,
                   int lowest_scale, const SearchCodes& codes, GroupBatch& batch,
                   BlockCodes* blocks) {
  search.fit_scale(batch.groups(), codes, plan.steps.data(), static_cast<int>(plan.steps.size()),
                   plan.refits, batch.scales);
  SuperSearch(search, codes, groups_per_block, lowest_scale, -lowest_scale - 1, false, batch)
      .run(plan, blocks);
}

}  // namespace phial
