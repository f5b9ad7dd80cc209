// Strangers at the door of a rank: wrong secrets, noise, silence. The job goes on, or says who would not let
// it start.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "comm/fd.h"
#include "comm/plan/cost_model.h"
#include "comm/tcp/frame.h"
#include "comm/tcp/link.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/clock.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A meeting that gives what another gives, changed by a test.
class AlteredMeeting : public Meeting {
 public:
  using Change = std::function<void(const std::string& name, std::vector<std::string>& values)>;
  AlteredMeeting(Meeting& inner, std::string secret, Change change)
      : inner_(inner), secret_(std::move(secret)), change_(std::move(change)) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& secret() const override { return secret_; }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    auto values = inner_.Exchange(name, value, deadline);
    if (values.ok() && change_) change_(name, *values);
    return values;
  }

 private:
  Meeting& inner_;
  const std::string secret_;
  const Change change_;
};

CommunicatorOptions Options(const std::string& backend, absl::Duration connect = absl::Seconds(10)) {
  CommunicatorOptions options;
  options.backend = backend;
  options.deadline = absl::Seconds(10);
  options.connect_deadline = connect;
  return options;
}

TEST(TcpSecurityTest, ADifferentSecretIsRefused) {
  for (const char* backend : {"tcp", "shm"}) {
    const auto statuses = testing::StatusesOfMeetings({.size = 3, .what = "secret"}, [&](Meeting& meeting) {
      AlteredMeeting altered(meeting, meeting.rank() == 2 ? std::string(32, 'x') : meeting.secret(), nullptr);
      return MakeCommunicator(altered, Options(backend, absl::Seconds(2))).status();
    });
    for (const absl::Status& status : statuses)
      EXPECT_EQ(TroubleOf(status), Trouble::kPeer) << backend << status;
    if (std::string(backend) == "tcp") {
      EXPECT_THAT(std::string(statuses[2].message()),
                  AllOf(HasSubstr("secret"), HasSubstr("connecting to rank ")));
    }
  }
}

Fd Dial(const std::string& endpoint) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(endpoint.substr(endpoint.find(':') + 1))));
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return Fd();
  return fd;
}

TEST(TcpSecurityTest, NoiseAtTheListenerHarmsNobody) {
  const std::vector<std::string> noises{"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        std::string(64, '\0'),
                                        std::string(500, '\xff'),
                                        "LKKP",
                                        "L",
                                        "",
                                        std::string("LKKP\1\0\0\0", 8) + std::string(56, 'a')};
  const absl::Status status = [&]() -> absl::Status {
    const auto statuses =
        testing::StatusesOfMeetings({.size = 3, .what = "noise"}, [&](Meeting& meeting) -> absl::Status {
          std::vector<Fd> strangers;
          AlteredMeeting altered(
              meeting, meeting.secret(), [&](const std::string& name, std::vector<std::string>& values) {
                if (name != "tcp/0" || meeting.rank() != 1) return;
                for (const std::string& endpoint : values) {
                  for (int i = 0; i < 120; ++i) {  // more than there are seats, and they stay on the line
                    const std::string& noise = noises[i % noises.size()];
                    strangers.push_back(Dial(endpoint.substr(1)));
                    if (!strangers.back().valid()) continue;
                    if (send(strangers.back().get(), noise.data(), noise.size(), MSG_NOSIGNAL) < 0) continue;
                  }
                }
              });
          ASSIGN_OR_RETURN(auto comm, MakeCommunicator(altered, Options("tcp")));
          for (int round = 0; round < 20; ++round) {
            std::vector<float> values(5000, 1);
            const Buffer buffer = BufferOf(absl::MakeSpan(values));
            RETURN_IF_ERROR(comm->AllReduce(buffer, buffer, ReduceOp::kSum));
            if (values[4999] != 3) return absl::InternalError("a wrong sum");
          }
          return comm->Barrier();
        });
    for (const absl::Status& one : statuses) RETURN_IF_ERROR(one);
    return absl::OkStatus();
  }();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(TcpSecurityTest, AnEndpointThatNeverAnswersIsADeadline) {
  Fd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(silent.get(), 4), 0);
  ASSERT_EQ(getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string endpoint = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  const double start = MonotonicSeconds();
  const auto statuses = testing::StatusesOfMeetings({.size = 2, .what = "silence"}, [&](Meeting& meeting) {
    AlteredMeeting altered(meeting, meeting.secret(),
                           [&](const std::string& name, std::vector<std::string>& values) {
                             if (name == "tcp/0" && meeting.rank() == 1) values[0] = "+" + endpoint;
                           });
    return MakeCommunicator(altered, Options("tcp", absl::Milliseconds(500))).status();
  });
  EXPECT_LT(MonotonicSeconds() - start, 5);
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[1])) << statuses[1];
  EXPECT_THAT(std::string(statuses[1].message()), AllOf(HasSubstr("rank 0"), HasSubstr(endpoint)));
  EXPECT_FALSE(statuses[0].ok());
}

TEST(FrameTest, DamageIsNoticed) {
  const FrameHeader good = MakeHeader(FrameKind::kMessage, 3, CallDescriptor{}, 100);
  EXPECT_TRUE(CheckHeader(good, 3).ok());
  EXPECT_FALSE(CheckHeader(good, 4).ok());
  for (size_t byte = 0; byte < sizeof(FrameHeader); ++byte) {
    FrameHeader bad = good;
    reinterpret_cast<unsigned char*>(&bad)[byte] ^= 0x10;
    EXPECT_FALSE(CheckHeader(bad, 3).ok()) << byte;
  }
  EXPECT_FALSE(CheckHeader(MakeHeader(FrameKind::kFailure, 3, {}, uint64_t{1} << 40), 3).ok());
  EXPECT_FALSE(CheckHeader(MakeHeader(static_cast<FrameKind>(9), 3, {}, 0), 3).ok());
}

// Two ends of one connection within a thread.
struct LinkPair {
  explicit LinkPair(bool crc = false) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
    a = std::make_unique<TcpLink>(Fd(ends[0]), 0, 1, 7, crc);
    b = std::make_unique<TcpLink>(Fd(ends[1]), 1, 0, 7, crc);
  }
  std::unique_ptr<TcpLink> a, b;
};

TEST(LinkTest, AVoidedMessageIsNotDeliveredAndTheReasonIs) {
  LinkPair pair;
  const std::string text("why");
  std::string note(sizeof(FailureNote), '\0');
  const FailureNote kind{static_cast<int>(Trouble::kData), static_cast<int>(absl::StatusCode::kDataLoss)};
  std::memcpy(note.data(), &kind, sizeof kind);
  note += text;
  char payload[16] = {}, received[16] = {};
  pair.a->StartSend(FrameKind::kMessage, {}, payload, sizeof payload);
  pair.a->VoidSend();
  ASSERT_TRUE(pair.a->AdvanceSend().ok());
  pair.a->StartSend(FrameKind::kFailure, {}, note.data(), note.size());
  ASSERT_TRUE(pair.a->AdvanceSend().ok());
  const Incoming wanted{0, received, sizeof received, {}};
  bool done = true;
  const auto status = pair.b->AdvanceRecv(&wanted, done).status();
  EXPECT_FALSE(done);
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 reports: why"));
}

TEST(LinkTest, EndOfConnectionIsDeathUnlessGoodbyeCameFirst) {
  LinkPair silent;
  silent.a.reset();
  bool done;
  EXPECT_THAT(std::string(silent.b->AdvanceRecv(nullptr, done).status().message()), HasSubstr("rank 0 died"));
  LinkPair polite;
  polite.a->StartSend(FrameKind::kGoodbye, {}, nullptr, 0);
  ASSERT_TRUE(polite.a->AdvanceSend().ok());
  polite.a.reset();
  EXPECT_TRUE(polite.b->AdvanceRecv(nullptr, done).ok());
  EXPECT_TRUE(polite.b->closed());
}

// Two ends that talk until `done` or an error.
absl::Status Pump(LinkPair& pair, const Incoming& wanted) {
  for (bool done = false; !done;) {
    RETURN_IF_ERROR(pair.a->AdvanceSend().status());
    RETURN_IF_ERROR(pair.b->AdvanceRecv(&wanted, done).status());
  }
  return absl::OkStatus();
}

TEST(LinkTest, CheckedMessagesOfAnySizeArriveBetweenPulses) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{100000}, size_t{262144}, size_t{262145}, size_t{3} << 20}) {
    LinkPair pair(true);
    std::vector<unsigned char> sent(size), received(size);
    for (size_t i = 0; i < size; ++i) sent[i] = static_cast<unsigned char>(i * 7 + i / 251);
    const Incoming wanted{0, received.data(), size, {}};
    for (int round = 0; round < 3; ++round) {
      pair.a->StartPulse({static_cast<uint64_t>(round), 5, 3});
      pair.a->StartSend(FrameKind::kMessage, {}, sent.data(), size);
      std::fill(received.begin(), received.end(), 0);
      ASSERT_TRUE(Pump(pair, wanted).ok());
      EXPECT_EQ(sent, received);
      EXPECT_GT(pair.b->newest(), pair.b->noted());
    }
  }
}

// Carries the bytes of one connection, and flips one bit of what the caller says.
class FlippingRelay {
 public:
  FlippingRelay(const std::string& target, size_t flip_byte) : target_(target), flip_byte_(flip_byte) {
    listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    endpoint_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this] { Carry(); });
  }
  ~FlippingRelay() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  const std::string& endpoint() const { return endpoint_; }

 private:
  void Carry() {
    const Fd caller(accept(listener_.get(), nullptr, nullptr));
    if (!caller.valid()) return;
    const Fd called = Dial(target_);
    size_t seen = 0;
    std::vector<char> bytes(1 << 16);
    while (true) {
      pollfd polled[2] = {{caller.get(), POLLIN, 0}, {called.get(), POLLIN, 0}};
      poll(polled, 2, -1);
      const bool from_caller = polled[0].revents != 0;
      const ssize_t got = recv(from_caller ? caller.get() : called.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) return;
      const auto n = static_cast<size_t>(got);
      if (from_caller && seen <= flip_byte_ && flip_byte_ < seen + n) bytes[flip_byte_ - seen] ^= 4;
      if (from_caller) seen += n;
      if (send(from_caller ? called.get() : caller.get(), bytes.data(), n, MSG_NOSIGNAL) != got) return;
    }
  }

  const std::string target_;
  const size_t flip_byte_;
  std::string endpoint_;
  Fd listener_;
  std::thread thread_;
};

TEST(TcpDamageTest, AFlippedBitIsAnErrorThatNamesTheLink) {
  constexpr size_t kHandshakeBytes = 64 + 32, kFrame = kHandshakeBytes + sizeof(FrameHeader);
  // In a header; at both ends and in the middle of a payload; in the CRC itself.
  for (const size_t at : {kHandshakeBytes + 17, kFrame, kFrame + 9000, kFrame + 19999, kFrame + 20001}) {
    std::unique_ptr<FlippingRelay> relay;
    const auto statuses =
        testing::StatusesOfMeetings({.size = 2, .what = "damage"}, [&](Meeting& meeting) -> absl::Status {
          AlteredMeeting altered(meeting, meeting.secret(),
                                 [&](const std::string& name, std::vector<std::string>& values) {
                                   if (name != "tcp/0" || meeting.rank() != 1) return;
                                   relay = std::make_unique<FlippingRelay>(values[0].substr(1), at);
                                   values[0] = "+" + relay->endpoint();
                                 });
          CommunicatorOptions options = Options("tcp");
          options.payload_crc = true;
          options.cost_model =
              CostModelText(CostModel());  // no calibration: the first frame is the collective's
          ASSIGN_OR_RETURN(const auto comm, MakeCommunicator(altered, options));
          std::vector<float> values(5000, 1);
          const Buffer buffer = BufferOf(absl::MakeSpan(values));
          CallOptions call;
          call.algorithm = "one_shot";
          RETURN_IF_ERROR(comm->AllReduce(buffer, buffer, ReduceOp::kSum, call));
          return comm->Barrier();  // who has all that it needs hears of it here
        });
    for (const absl::Status& status : statuses) {
      EXPECT_EQ(TroubleOf(status), Trouble::kPeer) << at << status;
      EXPECT_THAT(
          std::string(status.message()),
          AllOf(HasSubstr("rank 1 (127.0.0.1:"), HasSubstr("all_reduce #0"), HasSubstr("phase 'exchange'")))
          << at;
      EXPECT_THAT(std::string(status.message()),
                  at < kFrame ? HasSubstr("damaged frame")
                              : HasSubstr("damaged data on the link from rank 1 (127.0.0.1:"))
          << at;
    }
    relay.reset();
  }
}

}  // namespace
}  // namespace lockstep::comm
