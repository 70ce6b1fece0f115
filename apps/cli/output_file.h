// A file that nobody sees before it is whole: written under a temporary name beside the final one,
// renamed by commit(), removed when that does not happen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phial_cli {

class OutputFile {
 public:
  // Throws phial::Error: io_error when the file cannot be created, usage when `path` is, by
  // whatever name or link, one of `sources` or a file that stands in one.
  OutputFile(const std::string& path, const std::vector<std::string>& sources);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void append(std::string_view bytes);
  void commit();

 private:
  [[noreturn]] void fail(int error) const;

  std::string path_;  // with symbolic links resolved: a link stays a link
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace phial_cli
