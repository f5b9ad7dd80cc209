// scripts/packages.txt and cmake/LockstepDependencies.cmake tell the same story: what a missing library is
// said to be installed by is what the scripts install, and the scripts install no library that CMake does not
// look for.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::house {
namespace {

using ::testing::ContainerEq;
using ::testing::SizeIs;

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(std::string(LOCKSTEP_SOURCE_DIR) + "/" + path).rdbuf();
  return text.str();
}

bool IsLibrary(const std::string& package) {
  return package.size() > 4 && package.substr(package.size() - 4) == "-dev";
}

// Package -> nothing; every line is "name   # why".
std::set<std::string> PackagesOfTheScripts() {
  std::set<std::string> packages;
  std::istringstream lines(ReadFile("scripts/packages.txt"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name, extra;
    if (!(words >> name)) continue;
    EXPECT_FALSE(words >> extra) << "more than one package in: " << line;
    EXPECT_NE(line.find("# "), std::string::npos) << "no reason given for: " << line;
    EXPECT_TRUE(packages.insert(name).second) << "listed twice: " << name;
  }
  return packages;
}

// What the calls of lockstep_require(found what "packages") and lockstep_suggest name.
std::set<std::string> PackagesOfCMake() {
  static const std::regex call(
      R"re(lockstep_(?:require|suggest)\(\w+\s+"[^"]*"\s+("([^"]*)"|[^)\s]+)(?:\s+"[^"]*")?\))re");
  const std::string text = ReadFile("cmake/LockstepDependencies.cmake");
  std::set<std::string> packages;
  for (std::sregex_iterator it(text.begin(), text.end(), call), end; it != end; ++it) {
    std::istringstream names((*it)[2].matched ? (*it)[2].str() : (*it)[1].str());
    for (std::string name; names >> name;) packages.insert(name);
  }
  return packages;
}

TEST(PackagesTest, ScriptsInstallWhatCMakeAsksFor) {
  const std::set<std::string> scripts = PackagesOfTheScripts();
  const std::set<std::string> cmake = PackagesOfCMake();
  ASSERT_THAT(cmake, SizeIs(::testing::Ge(10u)));
  for (const std::string& package : cmake) {
    EXPECT_EQ(scripts.count(package), 1u) << package << " is missing in scripts/packages.txt";
  }
}

TEST(PackagesTest, EveryLibraryInstalledIsLookedFor) {
  std::set<std::string> scripts, cmake;
  for (const std::string& package : PackagesOfTheScripts()) {
    if (IsLibrary(package)) scripts.insert(package);
  }
  for (const std::string& package : PackagesOfCMake()) {
    if (IsLibrary(package)) cmake.insert(package);
  }
  EXPECT_THAT(scripts, ContainerEq(cmake));
}

}  // namespace
}  // namespace lockstep::house
