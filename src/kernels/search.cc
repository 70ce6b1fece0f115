#include "kernels/search.h"

#include <string_view>

#include "kernels/search_unit.h"

namespace phial {
namespace {

// Best last.
constexpr const SearchTable* kTables[] = {
    &kPlainSearch,
#if defined(__x86_64__)
    &kAvx2Search,
    &kAvx512Search,
#endif
};

}  // namespace

std::span<const SearchTable* const> search_tables() { return kTables; }

const SearchTable& search_table_for(const KernelTable& kernels) {
  for (const SearchTable* table : kTables) {
    if (std::string_view(table->isa) == kernels.isa) return *table;
  }
  return kPlainSearch;
}

}  // namespace phial
