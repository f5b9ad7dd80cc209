// A network that harms what it carries: stands between a caller and a listener on loopback, and closes, resets,
// stalls, delays or damages a connection at a chosen byte, or lets connections arrive late and so in another order.
#ifndef LOCKSTEP_TESTS_TESTING_FAULTY_RELAY_H_
#define LOCKSTEP_TESTS_TESTING_FAULTY_RELAY_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "runtime/core/status.h"

namespace lockstep::testing {

struct RelayHarm {
  enum class Kind {
    kNone,
    kClose,  // both directions end in order, in the middle of whatever it was
    kReset,  // both end by a reset
    kStall,  // nothing more goes in this direction; the connection stays
    kFlip,   // one bit of the byte
  };
  Kind kind = Kind::kNone;
  bool backwards = false;  // from the listener to the caller
  int64_t at_byte = 0;     // of what goes in that direction, over all connections together
  absl::Duration accept_delay = absl::ZeroDuration();  // of each connection, one after another
  absl::Duration chunk_delay = absl::ZeroDuration();   // of each piece that is carried on

  std::string Describe() const;
};

// Carries connections to `target` ("127.0.0.1:port") until it is destroyed. Threads of its own.
class FaultyRelay {
 public:
  static absl::StatusOr<std::unique_ptr<FaultyRelay>> Start(const std::string& target, const RelayHarm& harm);
  ~FaultyRelay();

  const std::string& endpoint() const { return endpoint_; }
  bool harmed() const { return harmed_; }  // the byte came by

 private:
  struct Connection;
  explicit FaultyRelay(const RelayHarm& harm) : harm_(harm) {}
  absl::Status Listen();
  void AcceptLoop();
  void Carry(Connection& connection, bool backwards);
  // False when the connection ends here.
  bool CarryPiece(Connection& connection, bool backwards, char* piece, int64_t size_bytes);

  const RelayHarm harm_;
  std::string target_, endpoint_;
  int listener_ = -1;
  std::atomic<bool> harmed_{false}, stopped_{false};
  std::atomic<int64_t> carried_[2] = {0, 0};  // bytes forwards and backwards
  std::mutex mutex_;                          // of connections_
  std::list<std::shared_ptr<Connection>> connections_;
  std::thread accepting_;
};

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_TESTING_FAULTY_RELAY_H_
