// Where parcels are read from. A source serves reads of whole blocks, from any thread; the store knows
// nothing else of files, so that tests put a source of their own in a file's place.
#pragma once
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace ostinato::memory {

// A read that failed; the text names the file and says why.
class ReadError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual int64_t size() const = 0;  // bytes of the file
  virtual int64_t block()
      const = 0;  // bytes, a power of two: what offsets, lengths and addresses are multiples of

  virtual std::string name() const { return "the source"; }  // for whoever reads what went wrong

  // Fills to[0, bytes) from `offset`. Where the file ends sooner, the bytes behind its end mean nothing.
  // Throws ReadError.
  virtual void read(int64_t offset, uint8_t* to, int64_t bytes) = 0;
};

// One file of a model; `replica`, where there is one, holds the same bytes and serves reads that fail.
struct File {
  std::shared_ptr<Source> primary, replica;
};

std::vector<int64_t> sizes_of(const std::vector<File>& files);  // bytes of each
int64_t block_of(const std::vector<File>& files);               // the largest of any of them, or of a replica

enum class Mode {
  kDirect,  // past the page cache (O_DIRECT): nothing else of the machine's memory is used
  kCached,  // pread through the page cache
  kMapped,  // copied from a mapping. For comparison: a file truncated in the middle of a copy ends the
            // process
};

// What tells a file from another one, and from itself after a change.
struct Identity {
  uint64_t device, inode;
  int64_t size, modified;  // bytes; nanoseconds
  bool operator==(const Identity&) const = default;
};

// A regular file. It must stay as it was when it was opened: a read notices another size or time and throws.
class FileSource final : public Source {
 public:
  FileSource(std::string path, Mode mode);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  int64_t size() const override { return identity_.size; }
  int64_t block() const override { return block_; }
  void read(int64_t offset, uint8_t* to, int64_t bytes) override;

  std::string name() const override { return path_; }
  const std::string& path() const { return path_; }
  const Identity& identity() const { return identity_; }

 private:
  int64_t transfer(int64_t offset, uint8_t* to, int64_t bytes) const;
  void check_unchanged() const;
  void release();
  [[noreturn]] void fail(const std::string& reason) const;

  const std::string path_;
  const Mode mode_;
  int descriptor_ = -1;
  const uint8_t* mapping_ = nullptr;  // of kMapped
  Identity identity_{};
  int64_t block_ = 0;
};

}  // namespace ostinato::memory
