// Reads every source file of the tree against the rules of docs/DESIGN.md, section 3.
#include "tests/house/layers.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::house {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::string ReadFile(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<Source> SourcesOfTheTree() {
  const fs::path root = LOCKSTEP_SOURCE_DIR;
  const std::set<std::string> endings = {".h", ".cc", ".cu", ".cuh", ".proto", ".sh", ".cmake", ".py"};
  std::vector<Source> sources;
  for (const char* folder :
       {"runtime", "kernels", "comm", "proto", "launcher", "examples", "tests", "scripts", "cmake"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file() || endings.count(entry.path().extension()) == 0) continue;
      sources.push_back({fs::relative(entry.path(), root).string(), ReadFile(entry.path())});
    }
  }
  return sources;
}

LayerTable TableOfTheTree() {
  return ReadLayerTable(ReadFile(fs::path(LOCKSTEP_SOURCE_DIR) / "docs/DESIGN.md"));
}

template <typename Check>
void ExpectNoViolation(Check check) {
  const std::vector<Source> sources = SourcesOfTheTree();
  ASSERT_GT(sources.size(), 50u) << "the walk over the tree found too little to mean anything";
  for (const Source& source : sources) {
    for (const std::string& violation : check(source)) ADD_FAILURE() << violation;
  }
}

TEST(LayersTest, DesignHasTheTable) {
  const LayerTable table = TableOfTheTree();
  ASSERT_GE(table.size(), 10u)
      << "docs/DESIGN.md, section 3 cannot be read, or names a layer that it does not list";
  EXPECT_THAT(table.at("runtime/core"), ElementsAre("runtime/core"));
  EXPECT_THAT(table.at("comm"), ElementsAre("comm", "runtime/core"));
  EXPECT_THAT(table.at("runtime/nn"),
              UnorderedElementsAre("runtime/nn", "runtime/graph", "kernels", "runtime/core", "proto"));
}

TEST(LayersTest, IncludesPointDownwards) {
  const LayerTable table = TableOfTheTree();
  ExpectNoViolation([&](const Source& source) { return CheckIncludes(source, table); });
}

TEST(LayersTest, IncludeGuardsFollowThePath) { ExpectNoViolation(CheckGuard); }

TEST(LayersTest, FilesFitTheHead) { ExpectNoViolation(CheckSize); }

// ---- The rules themselves, on made-up sources
// ---------------------------------------------------------------------

constexpr char kDesign[] =
    "proto/      schemas    <- nothing\n"
    "core/       the floor\n"
    "            of all     <- nothing\n"
    "comm/       moves      <- core\n"
    "train/      the loop   <- comm, proto\n";

TEST(LayerTableTest, EntriesMayTakeSeveralLinesAndReachFurtherDown) {
  const LayerTable table = ReadLayerTable(kDesign);
  EXPECT_THAT(table.at("core"), ElementsAre("core"));
  EXPECT_THAT(table.at("train"), UnorderedElementsAre("comm", "core", "proto", "train"));
}

TEST(LayerTableTest, UnknownLayerEmptiesTheTable) {
  EXPECT_THAT(ReadLayerTable("a/    text   <- b\n"), IsEmpty());
}

TEST(CheckIncludesTest, UpwardIncludeNamesFileLineIncludeAndAllowed) {
  const Source source{"comm/ring.cc",
                      "#include <vector>\n#include \"core/log.h\"\n\n#include \"train/loop.h\"\n"};
  EXPECT_THAT(CheckIncludes(source, ReadLayerTable(kDesign)),
              ElementsAre("comm/ring.cc:4: comm includes train/loop.h; it may include only comm, core "
                          "(docs/DESIGN.md, section 3)"));
}

TEST(CheckIncludesTest, ProductMayNotIncludeTests) {
  const Source source{"comm/ring.cc", "#include \"tests/testing/ranks.h\"\n"};
  EXPECT_THAT(CheckIncludes(source, ReadLayerTable(kDesign)),
              ElementsAre(HasSubstr("tests/testing/ranks.h")));
}

TEST(CheckIncludesTest, TestsMayIncludeAnything) {
  const Source source{"tests/comm/ring_test.cc", "#include \"train/loop.h\"\n"};
  EXPECT_THAT(CheckIncludes(source, ReadLayerTable(kDesign)), IsEmpty());
}

TEST(CheckIncludesTest, InstalledHeadersSeeOnlyStdAndEachOther) {
  const Source source{"runtime/api/include/lockstep/builder.h",
                      "#include <string>\n#include \"lockstep/params.h\"\n#include \"absl/status/status.h\"\n"
                      "#include <sys/mman.h>\n#include \"runtime/graph/builder.h\"\n"};
  EXPECT_THAT(CheckIncludes(source, TableOfTheTree()),
              ElementsAre(HasSubstr(":3: includes absl/"), HasSubstr(":4: "), HasSubstr(":5: ")));
}

TEST(CheckGuardTest, GuardIsThePathOrForInstalledHeadersTheName) {
  EXPECT_THAT(CheckGuard({"comm/ring.h",
                          "// Rings.\n#ifndef LOCKSTEP_COMM_RING_H_\n#define LOCKSTEP_COMM_RING_H_\n"}),
              IsEmpty());
  EXPECT_THAT(CheckGuard({"runtime/api/include/lockstep/main.h",
                          "#ifndef LOCKSTEP_MAIN_H_\n#define LOCKSTEP_MAIN_H_\n"}),
              IsEmpty());
  EXPECT_THAT(CheckGuard({"comm/ring.h", "#ifndef RING_H_\n#define RING_H_\n"}),
              ElementsAre("comm/ring.h:1: the include guard must be LOCKSTEP_COMM_RING_H_"));
  const std::string toggled = "#if defined(LOCKSTEP_KERNELS_CPU_A_INL_H_) == defined(HWY_TARGET_TOGGLE)\n";
  EXPECT_THAT(CheckGuard({"kernels/cpu/a-inl.h", toggled}), IsEmpty());
  EXPECT_THAT(CheckGuard({"kernels/cpu/b-inl.h", toggled}), ElementsAre(HasSubstr("KERNELS_CPU_B_INL_H_")));
  EXPECT_THAT(CheckGuard({"comm/ring.h", "#pragma once\n"}), ElementsAre(HasSubstr("LOCKSTEP_COMM_RING_H_")));
}

TEST(CheckSizeTest, CountsLines) {
  EXPECT_THAT(CheckSize({"a.cc", std::string(kMaxLines, '\n')}), IsEmpty());
  EXPECT_THAT(CheckSize({"a.cc", std::string(kMaxLines + 1, '\n')}), ElementsAre(HasSubstr("601 lines")));
}

}  // namespace
}  // namespace lockstep::house
