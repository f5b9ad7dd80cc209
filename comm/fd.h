// A file descriptor that closes itself. Internal to comm/.
#ifndef LOCKSTEP_COMM_FD_H_
#define LOCKSTEP_COMM_FD_H_

#include <unistd.h>

#include <utility>

namespace lockstep::comm {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // The caller closes it, where it matters whether that succeeds.
  int Release() { return std::exchange(fd_, -1); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_FD_H_
