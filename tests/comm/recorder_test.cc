// The flight recorder, its dump as text, and what is made of the dumps of several ranks.
#include "comm/recorder.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "comm/dump.h"
#include "comm/explain.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Call SumOf(size_t count) {
  static float value;
  Call call;
  call.kind = Collective::kAllReduce;
  call.in = ConstBuffer(&value, count, DType::kF32);
  call.out = Buffer{&value, count, DType::kF32};
  return call;
}

TEST(RecorderTest, ACallGoesThroughItsStates) {
  Recorder recorder;
  const Call call = SumOf(7);
  const uint64_t first = recorder.Issue(call, DescriptorOf(call, 0, 2), false);
  const uint64_t second = recorder.Issue(call, DescriptorOf(call, 1, 2), true);
  auto records = recorder.Snapshot();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].state, CallState::kRunning);
  EXPECT_EQ(records[0].started, records[0].issued);
  EXPECT_EQ(records[0].ended, 0);
  EXPECT_EQ(records[1].state, CallState::kQueued);
  EXPECT_EQ(records[1].started, 0);
  EXPECT_TRUE(records[1].background);
  recorder.End(first, true, Algorithm::kTwoShot);
  recorder.Start(second);
  recorder.End(second, false, Algorithm::kAuto);
  records = recorder.Snapshot();
  EXPECT_EQ(records[0].state, CallState::kDone);
  EXPECT_EQ(records[0].ran, Algorithm::kTwoShot);
  EXPECT_EQ(records[1].state, CallState::kFailed);
  EXPECT_EQ(records[1].descriptor, DescriptorOf(call, 1, 2));
  EXPECT_LE(records[1].issued, records[1].started);
  EXPECT_LE(records[1].started, records[1].ended);
}

TEST(RecorderTest, MomentsAreThoseOfTheWall) {
  Recorder recorder;
  const Call call = SumOf(7);
  absl::SleepFor(absl::Milliseconds(20));
  const int64_t before = absl::ToUnixNanos(absl::Now());
  recorder.End(recorder.Issue(call, DescriptorOf(call, 0, 2), false), true, Algorithm::kAuto);
  const int64_t after = absl::ToUnixNanos(absl::Now());
  absl::SleepFor(absl::Milliseconds(20));
  const auto records = recorder.Snapshot();
  constexpr int64_t kSlack = 5'000'000;  // of the rate, measured over some milliseconds only
  EXPECT_GE(records[0].issued, before - kSlack);
  EXPECT_LE(records[0].ended, after + kSlack);
}

TEST(RecorderTest, TheLast4096AreKept) {
  Recorder recorder;
  const Call call = SumOf(7);
  const uint64_t slow = recorder.Issue(call, DescriptorOf(call, 0, 2), true);
  for (uint64_t i = 1; i <= 5000; ++i) {
    recorder.End(recorder.Issue(call, DescriptorOf(call, i, 2), false), true, Algorithm::kRing);
  }
  recorder.End(slow, false, Algorithm::kTree);  // its place is another's by now
  const auto records = recorder.Snapshot();
  ASSERT_EQ(records.size(), 4096u);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].descriptor.sequence, 5000 - 4095 + i);
    EXPECT_EQ(records[i].ran, Algorithm::kRing);
  }
}

TEST(RecorderTest, MessagesKeepTheirPeers) {
  Recorder recorder;
  Call call = SumOf(3);
  call.kind = Collective::kSendRecv;
  call.to = 4;
  call.from = 2;
  recorder.Issue(call, DescriptorOf(call, 9, 5), false);
  call.kind = Collective::kRecv;
  call.to = -1;
  recorder.Issue(call, DescriptorOf(call, 10, 5), false);
  const auto records = recorder.Snapshot();
  EXPECT_EQ(records[0].to, 4);
  EXPECT_EQ(records[0].from, 2);
  EXPECT_EQ(records[1].to, -1);
  EXPECT_EQ(records[1].from, 2);
  EXPECT_EQ(records[1].descriptor.root, 0);
  EXPECT_EQ(records[1].descriptor.lanes, 0u);
}

// A dump of `rank` of three whose ranks all did collectives 0 .. done-1, at second 1000 + sequence.
Dump MakeDump(int rank, uint64_t done) {
  Dump dump;
  dump.rank = rank;
  dump.size = 3;
  dump.backend = "shm";
  dump.world = "0123456789abcdef";
  dump.failure = "rank 1 died";
  dump.failed = int64_t{2000} * 1'000'000'000;
  for (uint64_t sequence = 0; sequence < done; ++sequence) {
    CallRecord record;
    record.descriptor = DescriptorOf(SumOf(100), sequence, 3);
    record.state = CallState::kDone;
    record.issued = record.started = static_cast<int64_t>(1000 + sequence) * 1'000'000'000;
    record.ended = record.started + 1000;
    dump.records.push_back(record);
  }
  dump.calls = dump.collectives = done;
  return dump;
}

// One more collective, that the rank is in since second `started`.
void AddRunning(Dump& dump, int64_t started, size_t count = 100) {
  CallRecord record;
  record.descriptor = DescriptorOf(SumOf(count), dump.collectives, 3);
  record.state = CallState::kFailed;
  record.issued = record.started = started * 1'000'000'000;
  record.ended = dump.failed;
  dump.records.push_back(record);
  ++dump.calls;
  ++dump.collectives;
}

std::string Explained(const std::vector<Dump>& dumps) {
  std::vector<NamedDump> named;
  for (const Dump& dump : dumps) named.push_back({DumpName(dump.rank, 0, ""), dump});
  const auto text = ExplainDumps(named);
  return text.ok() ? *text : std::string(text.status().message());
}

TEST(DumpTest, WhatIsWrittenIsRead) {
  Dump dump = MakeDump(2, 5);
  AddRunning(dump, 1990);
  dump.generation = 7;
  dump.failure = "line one\n\"two\" \xff";
  dump.records[1].background = true;
  dump.records[1].ran = Algorithm::kHalvingDoubling;
  dump.records[1].descriptor.parts = 0xfedcba9876543210u;
  dump.records[2].to = 1;
  const auto read = ParseDump(SerializeDump(dump), "dump");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->rank, 2);
  EXPECT_EQ(read->size, 3);
  EXPECT_EQ(read->generation, 7u);
  EXPECT_EQ(read->backend, "shm");
  EXPECT_EQ(read->world, dump.world);
  EXPECT_EQ(read->failure, "line one\n\"two\" \xef\xbf\xbd");
  EXPECT_EQ(read->failed, dump.failed);
  EXPECT_EQ(read->calls, 6u);
  EXPECT_EQ(read->collectives, 6u);
  EXPECT_EQ(read->records, dump.records);
}

TEST(DumpTest, WhatIsNoDumpIsRefusedByLine) {
  const std::string good = SerializeDump(MakeDump(0, 2));
  ASSERT_TRUE(ParseDump(good, "good").ok());
  const auto error = [&](const std::string& text) {
    const auto dump = ParseDump(text, "it");
    EXPECT_EQ(TroubleOf(dump.status()), Trouble::kData) << text;
    return std::string(dump.status().message());
  };
  EXPECT_THAT(error(""), HasSubstr("it, line 1: no JSON object"));
  EXPECT_THAT(error("\n" + good), HasSubstr("line 1"));
  EXPECT_THAT(error("[1]"), HasSubstr("line 1: no JSON object"));
  EXPECT_THAT(error(good + "{}"), HasSubstr("line 4: 'call' is missing"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"dump\":1", "dump\":2"}})),
              HasSubstr("line 1: 'lockstep_comm_dump' is out of range"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"\"rank\":0", "\"rank\":3"}})),
              HasSubstr("'rank' is out of range"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"\"rank\":0", "\"rank\":-1"}})),
              HasSubstr("'rank' is out of range"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"all_reduce", "all_seduce"}})),
              HasSubstr("line 2: 'call' is a name"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"\"count\":100", "\"count\":1e3"}})),
              HasSubstr("'count' is out of range"));
  EXPECT_THAT(error(absl::StrReplaceAll(good, {{"\"calls\":2", "\"calls\":1"}})),
              HasSubstr("more calls listed"));
  EXPECT_THAT(error(std::string(kMaxDumpBytes + 1, ' ')), HasSubstr("too large"));
  EXPECT_THAT(error(std::string(100000, '[')), HasSubstr("too long"));
  const std::vector<std::string> lines = absl::StrSplit(good, '\n');
  std::string many = lines[0] + "\n";
  for (size_t i = 0; i < Recorder::kCalls + 1; ++i) many += lines[1] + "\n";
  EXPECT_THAT(error(many), HasSubstr("more than 4096 calls"));
}

TEST(ExplainTest, AMismatchNamesBothCalls) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4), MakeDump(2, 4)};
  AddRunning(dumps[0], 1998);
  AddRunning(dumps[1], 1999, 64);
  AddRunning(dumps[2], 1998);
  EXPECT_THAT(Explained(dumps), AllOf(HasSubstr("agree up to all_reduce #3 of 100 F32, sum"),
                                      HasSubstr("part at collective #4, where they called different things"),
                                      HasSubstr("ranks 0, 2: all_reduce #4 of 100 F32"),
                                      HasSubstr("rank 1: all_reduce #4 of 64 F32")));
}

TEST(ExplainTest, ARankThatNeverIssuedItIsAwaited) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4), MakeDump(2, 4)};
  AddRunning(dumps[0], 1998);
  AddRunning(dumps[2], 1995);
  dumps[1].failed = int64_t{2005} * 1'000'000'000;
  dumps[0].failure = "deadline: rank 1 did not come";
  dumps[1].failure = "rank 0 reports: rank 1 did not come";
  dumps[2].failure = "rank 0 reports: rank 1 did not come";
  dumps[2].failed -= 1;  // its clock is behind
  EXPECT_THAT(Explained(dumps),
              AllOf(HasSubstr("part at collective #4:"),
                    HasSubstr("ranks 0, 2: in all_reduce #4 of 100 F32, sum for 2s to "),
                    HasSubstr("rank 1: never issued it; its last call, all_reduce #3"),
                    HasSubstr("ranks 0, 2 wait for rank 1."),
                    HasSubstr("First to fail: rank 0, at 1970-01-01 00:33:20.000 UTC:\n  deadline: rank 1")));
}

TEST(ExplainTest, ADeadRankLeavesNoDump) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(2, 4)};
  AddRunning(dumps[0], 1998);
  AddRunning(dumps[1], 1998);
  EXPECT_THAT(Explained(dumps),
              AllOf(HasSubstr("No dump of rank 1: killed"), HasSubstr("ranks 0, 2 wait for rank 1."),
                    HasSubstr("rank 1: unknown, there is no dump")));
}

TEST(ExplainTest, TheStragglerIsTheLastToCome) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4), MakeDump(2, 4)};
  AddRunning(dumps[0], 1990);
  AddRunning(dumps[1], 1999);
  AddRunning(dumps[2], 1991);
  EXPECT_THAT(Explained(dumps), HasSubstr("the last was rank 1, 9s after rank 0"));
}

TEST(ExplainTest, ARankThatWaitsForAMessageIsNamedWithIt) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4), MakeDump(2, 4)};
  AddRunning(dumps[0], 1990);
  AddRunning(dumps[2], 1990);
  CallRecord message;
  Call call = SumOf(3);
  call.kind = Collective::kRecv;
  message.descriptor = DescriptorOf(call, 0, 3);
  message.from = 2;
  message.state = CallState::kRunning;
  message.issued = message.started = 1;
  dumps[1].records.push_back(message);
  ++dumps[1].calls;
  EXPECT_THAT(Explained(dumps), AllOf(HasSubstr("rank 1: never issued it; it was in recv #0"),
                                      HasSubstr("rank 1 was in recv #0 of 3 F32 from rank 2.")));
}

TEST(ExplainTest, WhatTheRecorderForgotIsTakenForDone) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4)};
  dumps[0].records.erase(dumps[0].records.begin(), dumps[0].records.begin() + 3);
  EXPECT_THAT(Explained(dumps), AllOf(HasSubstr("did not part"), HasSubstr("same 4 collectives")));
}

TEST(ExplainTest, DumpsThatDoNotBelongTogetherAreRefused) {
  std::vector<Dump> dumps = {MakeDump(0, 4), MakeDump(1, 4)};
  dumps[1].world = "fedcba9876543210";
  EXPECT_THAT(Explained(dumps), HasSubstr("different communicators"));
  EXPECT_THAT(Explained({dumps[0], dumps[0]}), HasSubstr("a second dump of rank 0"));
  EXPECT_THAT(Explained({}), HasSubstr("no dumps"));
  EXPECT_EQ(TroubleOf(ExplainFiles(std::vector<std::string>{"/nowhere/dump"}).status()), Trouble::kConfig);
}

}  // namespace
}  // namespace lockstep::comm
