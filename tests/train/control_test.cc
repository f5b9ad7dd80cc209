// What a run answers when it is asked, and the socket that carries it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "runtime/train/control_desk.h"
#include "runtime/train/control_server.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Milliseconds(1);
constexpr absl::Duration kLong = absl::Seconds(30);

ControlLimits Limits() {
  ControlLimits limits;
  limits.lanes = 8;
  limits.steps = 600;
  limits.membership = true;
  return limits;
}

std::string ErrorOf(const std::string& request, const ControlLimits& limits) {
  ControlDesk desk;
  desk.SetMembers("3 ranks as generation 2", 3);
  const auto answer = AnswerRequest(request, limits, desk, kSoon);
  EXPECT_EQ(TroubleOf(answer.status()), Trouble::kConfig) << request;
  return std::string(answer.status().message());
}

TEST(Control, SaysWhatIsWrongWithARequest) {
  EXPECT_THAT(ErrorOf("shrnk 2", Limits()), HasSubstr("shrink"));
  EXPECT_THAT(ErrorOf("", Limits()), HasSubstr("unknown request"));
  EXPECT_THAT(ErrorOf("shrink", Limits()), HasSubstr("one number"));
  EXPECT_THAT(ErrorOf("shrink 2 3", Limits()), HasSubstr("one number"));
  EXPECT_THAT(ErrorOf("status 1", Limits()), HasSubstr("nothing"));
  EXPECT_THAT(ErrorOf("shrink 0", Limits()), HasSubstr("a run needs a rank"));
  EXPECT_THAT(ErrorOf("shrink 3", Limits()), HasSubstr("there are 3 ranks"));
  EXPECT_THAT(ErrorOf("grow 9", Limits()), HasSubstr("8 lanes"));
  EXPECT_THAT(ErrorOf("grow 3", Limits()), HasSubstr("already"));
  EXPECT_THAT(ErrorOf("grow 4", Limits()), HasSubstr("LOCKSTEP_JOIN=1"));
  ControlLimits fixed = Limits();
  fixed.membership = false;
  EXPECT_THAT(ErrorOf("shrink 2", fixed), HasSubstr("execution.recovery"));
  EXPECT_THAT(ErrorOf("grow 4", fixed), HasSubstr("execution.recovery"));
}

TEST(Control, StatusSaysWhereTheRunStands) {
  ControlDesk desk;
  desk.SetMembers("3 ranks as generation 2 since yesterday", 3);
  EXPECT_THAT(*AnswerRequest("status", Limits(), desk, kSoon), HasSubstr("no step yet"));
  StepMetrics metrics;
  metrics.step = 120;
  metrics.loss = 0.43125;
  desk.OnStep(metrics, {});
  desk.SetPaused(true);
  EXPECT_THAT(*AnswerRequest("status", Limits(), desk, kSoon),
              AllOf(HasSubstr("step 120 of 600, loss 0.43"), HasSubstr("paused"), HasSubstr("generation 2")));
}

TEST(Control, AWishIsAnsweredWhenAVoteHasCarriedIt) {
  ControlDesk desk;
  desk.SetMembers("", 3);
  const auto late = AnswerRequest("shrink 2", Limits(), desk, kSoon);
  EXPECT_THAT(late.status().message(), HasSubstr("it stays asked"));
  std::atomic<bool> done{false};
  std::thread loop([&] {
    while (!done) {
      const Wishes wishes = desk.Take();
      if (wishes.checkpoint) {
        EXPECT_EQ(wishes.size, 2) << "what was asked before is still there";
        desk.Heard();
      }
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(AnswerRequest("checkpoint", Limits(), desk, kLong).ok());
  done = true;
  loop.join();
  EXPECT_EQ(desk.Take().size, 0) << "granted wishes are gone";
  EXPECT_FALSE(desk.Take().checkpoint);
}

TEST(Control, WhatIsAskedBetweenTakeAndHeardWaitsForTheNextVote) {
  ControlDesk desk;
  (void)desk.Ask({.checkpoint = true});
  (void)desk.Take();
  const uint64_t second = desk.Ask({.stop = true});
  desk.Heard();
  EXPECT_FALSE(desk.AwaitHeard(second, kSoon));
  EXPECT_TRUE(desk.Take().stop);
  desk.Heard();
  EXPECT_TRUE(desk.AwaitHeard(second, kSoon));
}

TEST(Control, GrowAsksTheSupervisor) {
  ControlLimits limits = Limits();
  int asked = 0;
  limits.grow = [&](int ranks) {
    asked = ranks;
    return absl::OkStatus();
  };
  ControlDesk desk;
  desk.SetMembers("", 3);
  EXPECT_THAT(*AnswerRequest("grow 5", limits, desk, kSoon), HasSubstr("2 ranks"));
  EXPECT_EQ(asked, 5);
}

class ControlSocket : public ::testing::Test {
 protected:
  ControlSocket() {
    std::string base = (std::filesystem::temp_directory_path() / "lockstep-control-XXXXXX").string();
    base_ = mkdtemp(base.data());
    folder_ = base_ + "/" + std::string(120, 'x');  // longer than an address of a socket can be
    std::filesystem::create_directory(folder_);
    desk_.SetMembers("1 rank", 1);
  }
  ~ControlSocket() override { std::filesystem::remove_all(base_); }

  std::unique_ptr<ControlServer> Serve() {
    return ControlServer::Start(folder_ + "/control.sock", &desk_, Limits(), log_.get());
  }

  std::string base_, folder_;
  ControlDesk desk_;
  const std::unique_ptr<Logger> log_ = MakeNullLogger();
};

TEST_F(ControlSocket, CarriesAnswersAndErrors) {
  const auto server = Serve();
  ASSERT_NE(server, nullptr);
  struct stat info = {};
  ASSERT_EQ(stat((folder_ + "/control.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  EXPECT_THAT(*AskRun(folder_, "status", kLong), HasSubstr("1 rank"));
  const auto wrong = AskRun(folder_, "shrink 0", kLong);
  EXPECT_EQ(TroubleOf(wrong.status()), Trouble::kConfig);
  EXPECT_THAT(wrong.status().message(), HasSubstr("a run needs a rank"));
  EXPECT_FALSE(AskRun(folder_, std::string(100000, 'a'), kLong).ok());
  EXPECT_TRUE(AskRun(folder_, "status", kLong).ok()) << "a bad client harms nobody";
}

TEST_F(ControlSocket, OfARunThatIsNotThere) {
  EXPECT_THAT(AskRun(base_ + "/nowhere", "status", kLong).status().message(), HasSubstr("no run in"));
  EXPECT_THAT(AskRun(folder_, "status", kLong).status().message(), HasSubstr("none is training"));
  // What a rank that was killed leaves behind.
  const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  const int at = open(folder_.c_str(), O_PATH);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock", at);
  ASSERT_EQ(bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(dead);
  close(at);
  EXPECT_THAT(AskRun(folder_, "status", kLong).status().message(), HasSubstr("is gone"));
  const auto server = Serve();
  EXPECT_TRUE(AskRun(folder_, "status", kLong).ok()) << "the next rank 0 serves in its place";
}

TEST_F(ControlSocket, EndsWhileSomebodyWaits) {
  auto server = Serve();
  std::thread client([&] { EXPECT_FALSE(AskRun(folder_, "checkpoint", kLong).ok()); });
  while (!desk_.Take().checkpoint) std::this_thread::yield();
  server.reset();
  client.join();
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/control.sock"));
}

}  // namespace
}  // namespace lockstep::train
