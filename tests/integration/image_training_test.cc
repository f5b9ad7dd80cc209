// Training on pictures, through the real program: folders -> records -> the same bits in any world.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/data/image/golden_images.h"
#include "tests/integration/training_run.h"
#include "tests/launcher/subprocess.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"(
model { layers { conv2d { channels: 4 kernel: 3 stride: 2 } batch_norm {} relu {} global_avg_pool {}
                 linear { features: 3 } } }
data {
  train: "PICTURES-*-of-*.tfrecord"  eval: "PICTURES-*-of-*.tfrecord"
  label { feature: "image/class/label" classes: 3 }
  image {
    shape: [16, 16, 3]
    train { random_resized_crop { min_scale: 0.3 } flip: true
            color_jitter { brightness: 0.4 contrast: 0.4 saturation: 0.4 } }
    eval { resize: 20 }
    mean: [0.485, 0.456, 0.406]  std: [0.229, 0.224, 0.225]
  }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 } }
lanes: 6  global_batch: 12  steps: 6  seed: 4
eval { every_steps: 3 metric: "accuracy" }
)";

// Three classes of golden pictures, as a user keeps them.
void MakeFolders(const std::string& root) {
  int number = 0;
  for (const std::string& name : data::GoldenPictureNames()) {
    const bool is_png = name.compare(0, 3, "png") == 0;
    const std::string folder = root + "/class" + std::to_string(number++ % 3);
    fs::create_directories(folder);
    std::ofstream(folder + "/" + name + (is_png ? ".png" : ".jpg"), std::ios::binary)
        << data::GoldenPicture(name);
  }
}

std::string Config(const Workspace& work) {
  MakeFolders(work.Path("pictures"));
  const std::string out = work.Path("records");
  Subprocess made({ProgramPath(), "records", "make", "--from", "images", "--input", work.Path("pictures"),
                   "--shuffle", "5", "--shards", "2", "--out", out});
  EXPECT_EQ(made.Wait(), 0) << made.Output();
  EXPECT_THAT(made.Output(), HasSubstr("records-classes.txt: 3 classes"));
  std::string text = kConfig;
  for (size_t at = 0; (at = text.find("PICTURES", at)) != std::string::npos;) text.replace(at, 8, out);
  return work.WriteConfig("pictures", text);
}

TEST(ImageTraining, WorldAndThreadsChangeNothing) {
  const Workspace work;
  const std::string config = Config(work);
  const Traces alone = work.TrainedTraces(config, "alone", 1);
  EXPECT_EQ(alone.metrics.size(), 6u + 2u);
  EXPECT_EQ(work.TrainedTraces(config, "threads", 1, {"execution.threads=2", "execution.read_ahead_steps=1"}),
            alone);
  EXPECT_EQ(work.TrainedTraces(config, "two", 2), alone);
  EXPECT_EQ(work.TrainedTraces(config, "three", 3, {"execution.threads=2"}), alone);
  const Traces other = work.TrainedTraces(config, "flip", 1, {"data.image.train.flip=false"});
  EXPECT_NE(other.weights_sha256, alone.weights_sha256) << "the augmentation does something";
}

TEST(ImageTraining, ResumedRunSeesTheSamePictures) {
  const Workspace work;
  const std::string config = Config(work);
  const Traces calm = work.TrainedTraces(config, "calm", 1);
  for (const auto& [steps, ranks] : std::vector<std::pair<std::string, int>>{{"2", 2}, {"6", 3}}) {
    const Ended run = work.Train(
        {.config = config, .out = "cut", .ranks = ranks, .arguments = {"--ledger", "--steps", steps}});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work.TracesOf("cut").weights_sha256, calm.weights_sha256);
}

// Each picture is mixed with another of its micro-batch, which its position chooses, so no world changes it.
TEST(ImageTraining, MixupAndCutmixAreTheSameInAnyWorldAndAfterAnyResume) {
  const Workspace work;
  const std::string config = Config(work);
  const std::vector<std::string> settings = {"data.image.train.mixup.alpha=0.4",
                                             "data.image.train.cutmix.alpha=1", "global_batch=24"};
  const Traces alone = work.TrainedTraces(config, "alone", 1, settings);
  EXPECT_EQ(work.TrainedTraces(config, "two", 2, settings), alone);
  EXPECT_EQ(work.TrainedTraces(config, "five", 5, settings), alone);
  std::vector<std::string> arguments = {"--ledger"};
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
  for (const auto& [steps, ranks] : std::vector<std::pair<std::string, int>>{{"2", 3}, {"6", 2}}) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--steps", steps});
    const Ended run = work.Train({.config = config, .out = "cut", .ranks = ranks, .arguments = all});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  EXPECT_EQ(work.TracesOf("cut").weights_sha256, alone.weights_sha256);
  const Traces plain = work.TrainedTraces(config, "plain", 1, {"global_batch=24"});
  EXPECT_NE(plain.weights_sha256, alone.weights_sha256);
  EXPECT_EQ(plain.ledger, alone.ledger) << "the same records, mixed or not";
  const Traces never = work.TrainedTraces(
      config, "never", 1, {"data.image.train.mixup={alpha: 1 probability: 0}", "global_batch=24"});
  EXPECT_EQ(never.metrics.size(), plain.metrics.size());
}

TEST(ImageTraining, WrongFeatureStopsTheRunAndIsNamed) {
  const Workspace work;
  const std::string config = Config(work);
  const Ended missing = work.Train({.config = config,
                                    .out = "wrong",
                                    .arguments = {"--set", "data.image.feature=image/encodet"},
                                    .start = StartWith::kNothing});
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.output,
              HasSubstr("record 0: there is no feature 'image/encodet'; did you mean 'image/encoded'"));
}

}  // namespace
}  // namespace lockstep::testing
