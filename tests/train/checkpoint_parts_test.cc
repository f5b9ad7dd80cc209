#include "runtime/train/checkpoint_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/train/checkpoint_folder.h"
#include "runtime/train/checkpoint_tools.h"
#include "runtime/train/checkpoint_writer.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/memory_file_system.h"
#include "tests/train/save_team.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using testing::MemoryFileSystem;

constexpr char kFolder[] = "run/checkpoints";

TEST(DivideState, OneShardHasTheTwoPlainFiles) {
  const SampleState state(1);
  const auto parts = DivideState(state.tensors, 1);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "model.safetensors");
  EXPECT_EQ(parts[1].name, "optimizer.safetensors");
  EXPECT_EQ(parts[0].tensors.size(), 3u);
}

// A state like a transformer's: one tensor of a third, many small ones, two moments each.
TEST(DivideState, EveryTensorIsInOnePartAndShardsAreBalanced) {
  TrainTensors tensors;
  const std::vector<float> values(40'000);
  std::vector<int64_t> sizes = {40'000};
  for (int i = 0; i < 24; ++i) sizes.insert(sizes.end(), {3000, 100, 1000, 10});
  uint64_t total = 0, largest = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const NamedTensor tensor{absl::StrCat("p", i), DType::kF32, Shape({sizes[i]}), values.data()};
    tensors.parameters.push_back(tensor);
    for (const char* moment : {"m.", "v."}) {
      tensors.optimizer.push_back(tensor);
      tensors.optimizer.back().name = moment + tensor.name;
    }
    total += 3 * tensor.size_bytes();
    largest = std::max<uint64_t>(largest, tensor.size_bytes());
  }
  for (const int shards : {1, 2, 3, 4, 5, 7, 8, 64}) {
    std::vector<uint64_t> bytes(shards);
    std::set<std::string> names, files;
    for (const CheckpointPart& part : DivideState(tensors, shards)) {
      EXPECT_TRUE(IsTensorFileName(part.name)) << part.name;
      EXPECT_TRUE(files.insert(part.name).second);
      for (const PartTensor& entry : part.tensors) {
        EXPECT_TRUE(names.insert(entry.tensor.name).second);
        bytes[part.shard] += entry.tensor.size_bytes();
      }
    }
    EXPECT_EQ(names.size(), 3 * sizes.size());
    EXPECT_LE(*std::max_element(bytes.begin(), bytes.end()), total / shards + largest) << shards;
    if (shards <= 4) {
      EXPECT_LE(*std::max_element(bytes.begin(), bytes.end()) * shards, total * 11 / 10);
    }
  }
}

TEST(ShardsFor, OneAShardOfThatSizeAndAtMostOneARank) {
  EXPECT_EQ(ShardsFor(1000, 0, 8), 1);
  EXPECT_EQ(ShardsFor(1000, 2000, 8), 1);
  EXPECT_EQ(ShardsFor(1999, 1000, 8), 1);
  EXPECT_EQ(ShardsFor(3000, 1000, 8), 3);
  EXPECT_EQ(ShardsFor(99'000, 1000, 8), 8);
  EXPECT_EQ(ShardsFor(0, 1000, 8), 1);
}

TEST(ShardOfRank, EveryShardHasOneRankAndRankZeroTheFirst) {
  for (int ranks = 1; ranks <= 20; ++ranks) {
    for (int shards = 1; shards <= ranks; ++shards) {
      std::vector<int> found;
      for (int rank = 0; rank < ranks; ++rank) {
        const int shard = ShardOfRank(rank, ranks, shards);
        if (shard >= 0) found.push_back(shard);
      }
      ASSERT_EQ(static_cast<int>(found.size()), shards) << ranks;
      for (int shard = 0; shard < shards; ++shard) EXPECT_EQ(found[shard], shard);
      EXPECT_EQ(ShardOfRank(0, ranks, shards), 0);
    }
  }
}

TEST(FileNames, OnlyOurs) {
  for (const char* name :
       {"manifest.textproto", "model.safetensors", "optimizer-00002-of-00004.safetensors",
        "model.safetensors.index.json", "shard-00002-of-00004.done", "shard-00002-of-00004.failed.tmp"}) {
    EXPECT_TRUE(IsCheckpointFileName(name)) << name;
  }
  for (const char* name : {"notes.txt", "model-2-of-4.safetensors", "model-00002-of-0000x.safetensors",
                           "my-model.safetensors", "model.safetensors.bak", "shard-00002-of-00004",
                           "tokenizer.json", "model-00002-of-00004-copy.safetensors"}) {
    EXPECT_FALSE(IsCheckpointFileName(name)) << name;
  }
}

class Team : public ::testing::TestWithParam<int> {};

TEST_P(Team, WritesTheSameStateAsOneWriterDoes) {
  MemoryFileSystem alone, together;
  const SampleState state(5);
  ASSERT_TRUE(SaveByTeam({&alone}, 1, state).status.ok());
  const SaveOutcome outcome = SaveByTeam({&together}, GetParam(), state);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto a = LoadCheckpoint(&alone, outcome.path), b = LoadCheckpoint(&together, outcome.path);
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(a->manifest().state_sha256, b->manifest().state_sha256);
  EXPECT_EQ(b->tensors().ema.size(), 1u);
  EXPECT_EQ(a->manifest().format_version, 1) << "an older Lockstep can read it";
  EXPECT_EQ(b->manifest().format_version, 2);
  std::ostringstream out;
  EXPECT_TRUE(VerifyCheckpointsAt(&together, {"run"}, out).ok()) << out.str();
  EXPECT_TRUE(DiffCheckpointsAt(&together, "run", "run", out).ok());
  EXPECT_THAT(out.str(), HasSubstr("the same state"));
}

// As Hugging Face's loaders read it: the index names a file for every tensor, and the file has it.
TEST_P(Team, TheIndexLeadsToEveryTensor) {
  MemoryFileSystem fs;
  const SampleState state(5);
  const SaveOutcome outcome = SaveByTeam({&fs}, GetParam(), state);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto index = nlohmann::json::parse(
      ReadWholeFile(&fs, JoinPath(outcome.path, "model.safetensors.index.json")).value());
  uint64_t total = 0;
  for (const auto* list : {&state.tensors.parameters, &state.tensors.buffers}) {
    for (const NamedTensor& tensor : *list) {
      total += tensor.size_bytes();
      const std::string file = index["weight_map"][tensor.name];
      const auto opened =
          SafetensorsFile::Open(&fs, JoinPath(outcome.path, file), SafetensorsFile::Access::kRead);
      ASSERT_TRUE(opened.ok()) << opened.status();
      EXPECT_NE(opened->Find(tensor.name), nullptr);
      EXPECT_EQ(opened->view().metadata.at("lockstep.step"), "5");
    }
  }
  EXPECT_EQ(index["metadata"]["total_size"], total);
}

TEST_P(Team, LeavesNothingButTheCheckpoint) {
  MemoryFileSystem fs;
  const SampleState state(5);
  ASSERT_TRUE(SaveByTeam({&fs}, GetParam(), state).status.ok());
  const auto folders = fs.List(kFolder).value();
  ASSERT_EQ(folders.size(), 1u);
  const auto files = fs.List(CheckpointPath(kFolder, 5)).value();
  for (const FileInfo& file : files) {
    EXPECT_TRUE(file.name == kManifestName || IsTensorFileName(file.name) || IsIndexName(file.name))
        << file.name;
  }
}

// Each call of one writer's disk fails once, or from then on; the save fails or is whole, the one before
// stays, nobody waits for long, and the next save is good.
TEST_P(Team, EveryFailingCallOfAnyWriterKeepsTheOneBefore) {
  const int shards = GetParam();
  const SampleState first(1, 8), second(2, 8), third(3, 8);
  for (int victim = 0; victim < shards; ++victim) {
    for (const auto kind : {FaultyFileSystem::Kind::kOnce, FaultyFileSystem::Kind::kFromThenOn}) {
      bool reached = true;
      for (int64_t n = 1; reached; n += victim == 0 ? 1 : 2) {  // a writer polls, so its calls vary
        MemoryFileSystem memory;
        ASSERT_TRUE(SaveByTeam({&memory}, 1, first).status.ok());
        FaultyFileSystem faulty(&memory);
        faulty.FailAt(n, absl::ResourceExhaustedError("no space left on device"), kind);
        std::vector<FileSystem*> disks(static_cast<size_t>(shards), &memory);
        disks[victim] = &faulty;
        const SaveOutcome outcome = SaveByTeam(disks, shards, second, 3, false, absl::Milliseconds(30));
        reached = faulty.calls() >= n;
        const std::string at = absl::StrCat("writer ", victim, ", call ", n);
        if (!outcome.status.ok()) {
          EXPECT_EQ(ExitCodeOf(outcome.status), 5) << at;
        }
        ASSERT_TRUE(RemoveLeftovers(&memory, kFolder).ok()) << at;
        const auto found = FindCheckpoint(&memory, "run");
        ASSERT_TRUE(found.ok() && found->checkpoint) << at << found.status();
        EXPECT_TRUE(found->rejected.empty()) << at << ": " << found->rejected[0].reason;
        const int64_t step = found->checkpoint->manifest().step;
        EXPECT_TRUE(outcome.status.ok() ? step == 2 : step == 1 || step == 2) << at << " found " << step;
        if (n % 4 != 0) continue;
        EXPECT_TRUE(SaveByTeam({&memory}, shards, third).status.ok()) << at;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Writers, Team, ::testing::Values(2, 3, 5));

TEST(TeamTrouble, AWriterThatNeverComesFailsTheSaveWithItsName) {
  MemoryFileSystem fs;
  const SampleState state(2);
  ASSERT_TRUE(SaveByTeam({&fs}, 1, SampleState(1)).status.ok());
  const auto options = TeamOptions(&fs, 3, 0, absl::Milliseconds(30));
  const SaveOutcome outcome = SaveCheckpoint(options, state.manifest, state.tensors, false);
  EXPECT_EQ(ExitCodeOf(outcome.status), 5);
  EXPECT_THAT(std::string(outcome.status.message()),
              HasSubstr("shard-00002-of-00003, shard-00003-of-00003 not there"));
  EXPECT_EQ(fs.List(kFolder).value().size(), 1u) << "its leftovers are gone at once";
}

TEST(TeamTrouble, AWritersReasonReachesTheOneThatCommits) {
  MemoryFileSystem memory;
  FaultyFileSystem full(&memory);
  full.FailAt(3, absl::ResourceExhaustedError("no space left on device"), FaultyFileSystem::Kind::kOnce);
  const SampleState state(2);
  ASSERT_TRUE(memory.CreateFolders(kFolder).ok());
  // Call 3 is the first write, whatever the number of polls: the folder is there already.
  ASSERT_TRUE(memory.CreateFolders(TemporaryPath(kFolder, 2, SaveIdOf("nonce", 2))).ok());
  std::vector<CheckpointPart> parts;
  for (CheckpointPart& part : DivideState(state.tensors, 2)) {
    if (part.shard == 1) parts.push_back(std::move(part));
  }
  const SaveOutcome shard = SaveShard(TeamOptions(&full, 2, 1, absl::Seconds(5)), state.manifest, parts);
  EXPECT_EQ(ExitCodeOf(shard.status), 5);
  const auto heard = AwaitShards(&memory, TemporaryPath(kFolder, 2, SaveIdOf("nonce", 2)), 2, {});
  EXPECT_THAT(std::string(heard.status().message()), HasSubstr("shard-00002-of-00002 failed: no space left"));
}

// Whatever fails after a shard was announced, its files stay: rank 0 may have committed them.
TEST(TeamTrouble, WhatWasAnnouncedStays) {
  const SampleState state(2);
  const std::string folder = TemporaryPath(kFolder, 2, SaveIdOf("nonce", 2));
  std::vector<CheckpointPart> parts;
  for (CheckpointPart& part : DivideState(state.tensors, 2)) {
    if (part.shard == 1) parts.push_back(std::move(part));
  }
  int64_t announced = 0;
  bool reached = true;
  for (int64_t n = 1; reached; ++n) {
    MemoryFileSystem memory;
    ASSERT_TRUE(memory.CreateFolders(folder).ok());
    FaultyFileSystem faulty(&memory);
    faulty.FailAt(n, absl::UnavailableError("input/output error"), FaultyFileSystem::Kind::kFromThenOn);
    (void)SaveShard(TeamOptions(&faulty, 2, 1, absl::Milliseconds(20)), state.manifest, parts);
    reached = faulty.calls() >= n;
    if (!memory.Exists(JoinPath(folder, ShardName(1, 2) + ".done"))) continue;
    ++announced;
    for (const CheckpointPart& part : parts) {
      EXPECT_TRUE(memory.Exists(JoinPath(folder, part.name))) << "call " << n;
    }
  }
  EXPECT_GT(announced, 0);
}

TEST(TeamTrouble, AReplicaThatHasPartedIsNamedAndNothingIsCommitted) {
  MemoryFileSystem fs;
  const SampleState state(2);
  SampleState other(2);
  const_cast<float*>(static_cast<const float*>(other.tensors.parameters[1].data))[0] += 1;
  const_cast<float*>(static_cast<const float*>(other.tensors.parameters[0].data))[0] += 1;
  const auto parts = DivideState(state.tensors, 2);
  Manifest announced = other.manifest, manifest = state.manifest;
  announced.save_id = manifest.save_id = "0123456789abcdef";
  ASSERT_TRUE(fs.CreateFolders("t").ok());
  for (const CheckpointPart& part : DivideState(other.tensors, 2)) {
    if (part.shard == 1) {
      ASSERT_TRUE(WritePart(&fs, "t", part, &announced).ok());
    }
  }
  const absl::Status status = EnterShard(announced, 1, parts, &manifest);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the replicas have parted"));
  announced.save_id = "0123456789abcde0";
  EXPECT_THAT(std::string(EnterShard(announced, 1, parts, &manifest).message()),
              HasSubstr("is of step 2, save"));
}

TEST(TeamTrouble, AWriterWhoseSaveIsOverWritesNothing) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateFolders(kFolder).ok());
  const SampleState state(2);
  CheckpointWriter writer(TeamOptions(&fs, 2, 1, absl::Seconds(60)));
  ASSERT_TRUE(writer.Save(state.manifest, state.tensors).ok());
  const SaveOutcome outcome = writer.Abandon();  // returns long before 60 s
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(fs.List(kFolder).value().empty());
}

TEST(Milestones, AreNeverPruned) {
  MemoryFileSystem fs;
  for (int64_t step = 1; step <= 9; ++step) {
    CheckpointWriterOptions options;
    options.fs = &fs;
    options.folder = kFolder;
    options.keep_last = 2;
    options.keep_every_steps = 3;
    const SampleState state(step, 4);
    ASSERT_TRUE(SaveCheckpoint(options, state.manifest, state.tensors, false).after_commit.ok());
  }
  EXPECT_THAT(ListCheckpoints(&fs, kFolder).value(), ElementsAre(3, 6, 8, 9));
}

}  // namespace
}  // namespace lockstep::train
