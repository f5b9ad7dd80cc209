// A network that harms what it carries, at bytes that a seed chooses: every rank ends with the right sums or with an
// error that says who, by the deadline; never with wrong sums.
//   LOCKSTEP_RELAY_FIRST=17 LOCKSTEP_RELAY_SEEDS=1 runs one seed again.
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/faulty_relay.h"
#include "tests/testing/run_ranks.h"

namespace lockstep::comm {
namespace {

using testing::FaultyRelay;
using ::testing::HasSubstr;
using testing::RelayHarm;

constexpr int kRanks = 3;
constexpr int kRounds = 12;

// The meeting of one rank, which calls `peer` by way of a relay.
class RelayedMeeting : public Meeting {
 public:
  RelayedMeeting(Meeting& inner, int peer, const RelayHarm& harm) : inner_(inner), peer_(peer), harm_(harm) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& secret() const override { return inner_.secret(); }
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& name, absl::string_view value,
                                                    Deadline deadline) override {
    ASSIGN_OR_RETURN(auto values, inner_.Exchange(name, value, deadline));
    if (name == "tcp/0") {
      ASSIGN_OR_RETURN(relay_, FaultyRelay::Start(values[peer_].substr(1), harm_));
      values[peer_] = "+" + relay_->endpoint();
    }
    return values;
  }
  bool harmed() const { return relay_ != nullptr && relay_->harmed(); }

 private:
  Meeting& inner_;
  const int peer_;
  const RelayHarm harm_;
  std::unique_ptr<FaultyRelay> relay_;
};

int FromEnvironment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// Rank r adds (r + 1) (i + round) at place i: exact in fp32.
absl::Status Rounds(Communicator& comm) {
  for (int round = 0; round < kRounds; ++round) {
    std::vector<float> values(size_t{3000} * (round + 1));
    for (size_t i = 0; i < values.size(); ++i) values[i] = (comm.rank() + 1.0F) * (i % 1000 + round);
    const Buffer buffer = BufferOf(absl::MakeSpan(values));
    RETURN_IF_ERROR(comm.AllReduce(buffer, buffer, ReduceOp::kSum));
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != 6.0F * (i % 1000 + round)) return absl::InternalError("a wrong sum");
    }
  }
  return comm.Barrier();
}

struct Outcome {
  std::vector<absl::Status> statuses;
  bool harmed = false;
};

Outcome RunUnder(const RelayHarm& harm, int caller, int listener, absl::Duration deadline) {
  std::atomic<bool> harmed{false};
  Outcome outcome;
  outcome.statuses =
      testing::StatusesOfMeetings({.size = kRanks, .what = "relay"}, [&](Meeting& meeting) -> absl::Status {
        RelayedMeeting relayed(meeting, listener, harm);
        CommunicatorOptions options;
        options.backend = "tcp";
        options.payload_crc = true;
        options.deadline = options.connect_deadline = deadline;
        Meeting& mine = meeting.rank() == caller ? static_cast<Meeting&>(relayed) : meeting;
        absl::Status status;
        {
          auto comm = MakeCommunicator(mine, options);
          status = comm.ok() ? Rounds(**comm) : comm.status();
        }
        if (relayed.harmed()) harmed = true;
        return status;
      });
  outcome.harmed = harmed;
  return outcome;
}

TEST(RelayTest, SlowAndLateConnectionsOnlyTakeTime) {
  RelayHarm harm;
  harm.accept_delay = absl::Milliseconds(200);  // the relayed connection comes after all others
  harm.chunk_delay = absl::Milliseconds(1);
  for (const absl::Status& status : RunUnder(harm, 2, 0, absl::Seconds(30)).statuses)
    EXPECT_TRUE(status.ok()) << status;
}

TEST(RelayTest, AFlippedBitOfAPayloadNamesTheLink) {
  RelayHarm harm{.kind = RelayHarm::Kind::kFlip, .at_byte = 200'000};
  const Outcome outcome = RunUnder(harm, 2, 0, absl::Seconds(10));
  ASSERT_TRUE(outcome.harmed);
  EXPECT_THAT(std::string(outcome.statuses[0].message()), HasSubstr("damaged data on the link from rank 2"));
  EXPECT_THAT(std::string(outcome.statuses[1].message()), HasSubstr("damaged data on the link from rank 2"));
}

// The harm that a seed chooses. A stall is only seen at the deadline, so there are few of them.
RelayHarm HarmOf(int seed) {
  std::mt19937 random(seed);
  RelayHarm harm;
  const RelayHarm::Kind kinds[] = {RelayHarm::Kind::kFlip, RelayHarm::Kind::kClose, RelayHarm::Kind::kReset};
  harm.kind = seed % 8 == 7 ? RelayHarm::Kind::kStall : kinds[random() % 3];
  harm.backwards = random() % 2 == 1;
  harm.at_byte = random() % 3 == 0 ? random() % 300 : random() % 300'000;  // the handshake, or anywhere
  return harm;
}

TEST(RelayTest, NoHarmGivesAWrongSumOrAHang) {
  const int first = FromEnvironment("LOCKSTEP_RELAY_FIRST", 0);
  const int seeds = FromEnvironment("LOCKSTEP_RELAY_SEEDS", 24);
  int harmed = 0;
  for (int seed = first; seed < first + seeds; ++seed) {
    const RelayHarm harm = HarmOf(seed);
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", harm.Describe()));
    const bool stalls = harm.kind == RelayHarm::Kind::kStall;
    const Outcome outcome = RunUnder(harm, 1 + seed % 2, 0, stalls ? absl::Seconds(1) : absl::Seconds(10));
    harmed += outcome.harmed;
    int failed = 0;
    for (const absl::Status& status : outcome.statuses) {
      EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("a wrong sum")));
      failed += !status.ok();
      EXPECT_TRUE(stalls || !absl::IsDeadlineExceeded(status)) << status;
    }
    EXPECT_TRUE(outcome.harmed || failed == 0) << outcome.statuses[0];
    // A damaged handshake is refused and tried again, on a connection that is whole. The last bytes are a goodbye,
    // whose content nobody uses. Anything else must be noticed.
    const bool message = harm.at_byte >= 300 && harm.at_byte < 290'000;
    EXPECT_TRUE(failed > 0 || !outcome.harmed || !message);
  }
  std::printf("seeds %d to %d: the harm came by in %d\n", first, first + seeds - 1, harmed);
  EXPECT_GT(harmed, seeds / 2);
}

}  // namespace
}  // namespace lockstep::comm
