#include "runtime/nn/registry.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/nn/models/builtin.h"

namespace lockstep::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void Nothing(graph::Builder&, const ModelParams&) {}

TEST(ModelRegistry, HasTheBuiltinModels) {
  EXPECT_THAT(BuiltinModels().Names(), ElementsAre("gpt", "mlp", "resnet18"));
}

TEST(ModelRegistry, FindsWhatWasAdded) {
  ModelRegistry registry = BuiltinModels();
  ASSERT_TRUE(registry.AddModel("part_net", Nothing).ok());
  const auto entry = registry.Find("part_net");
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_TRUE((*entry)->model);
  EXPECT_FALSE((*entry)->network);
}

TEST(ModelRegistry, RefusesANameThatIsTaken) {
  ModelRegistry registry = BuiltinModels();
  const absl::Status status = registry.AddModel("gpt", Nothing);
  EXPECT_EQ(ExitCodeOf(status), 2);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'gpt' is registered already"));
  EXPECT_EQ(ExitCodeOf(registry.AddModel("", Nothing)), 2);
}

TEST(ModelRegistry, NamesTheNearestForAnUnknownName) {
  const absl::Status status = BuiltinModels().Find("resnet-18").status();
  EXPECT_EQ(ExitCodeOf(status), 2);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did you mean 'resnet18'"));
}

TEST(ModelRegistry, ListsWhatThereIsWhenNothingIsNear) {
  EXPECT_THAT(std::string(BuiltinModels().Find("transformer").status().message()),
              HasSubstr("gpt, mlp, resnet18"));
}

}  // namespace
}  // namespace lockstep::nn
