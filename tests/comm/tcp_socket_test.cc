// What the sockets under comm/tcp are set to, and how long is waited at them without sleep.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

#include "comm/tcp/listener.h"
#include "comm/tcp/spinning.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::comm {
namespace {

// The kernel's name of what decides how fast is sent.
std::string CongestionControl(int fd) {
  char name[16] = "";
  socklen_t length = sizeof name;
  return getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0 ? std::string(name) : "unknown";
}

TEST(TcpSocketTest, LoopbackIsNotPaced) {
  const HandshakeIdentity self{0, 1, "a secret of the test"};
  auto listener = TcpListener::Make("127.0.0.1", self, 2, [] {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto fd = ConnectTcp((*listener)->endpoint(), Deadline::After(absl::Seconds(10)), -1);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_EQ(CongestionControl(fd->get()), "reno");
}

TEST(TcpSocketTest, SpinningComesToAnEnd) {
  EXPECT_FALSE(Spinning(false).Once());
  Spinning spinning(true);
  const int64_t begin = MonotonicNanoseconds();
  EXPECT_TRUE(spinning.Once());
  while (spinning.Once()) {
  }
  EXPECT_GE(MonotonicNanoseconds() - begin, Spinning::kNanoseconds);
  spinning.Stop();
  EXPECT_FALSE(spinning.Once());  // what is spent is spent
}

}  // namespace
}  // namespace lockstep::comm
