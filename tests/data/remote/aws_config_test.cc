#include "runtime/data/remote/aws_config.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AwsConfigTest : public ::testing::Test {
 protected:
  AwsConfigTest() {
    EXPECT_TRUE(fs_.CreateFolders("home/.aws").ok());
    EXPECT_TRUE(WriteFileAtomically(&fs_, "home/.aws/credentials",
                                    "# mine\n[default]\naws_access_key_id = AKFILE\r\n"
                                    "aws_secret_access_key=se/cr+et==\n\n[lab]\naws_access_key_id=AKLAB\n"
                                    "aws_secret_access_key = labsecret\naws_session_token = labtoken\n"
                                    "[half]\naws_access_key_id=AKHALF\n")
                    .ok());
    EXPECT_TRUE(WriteFileAtomically(&fs_, "home/.aws/config",
                                    "[default]\nregion = eu-west-1\n[profile lab]\nregion=eu-north-1\n"
                                    "endpoint_url = http://lab.example:9000/\n")
                    .ok());
    variables_["HOME"] = "home";
  }
  absl::StatusOr<AwsConfig> Load() {
    return LoadAwsConfig(&fs_, [this](const std::string& name) {
      const auto at = variables_.find(name);
      return at == variables_.end() ? std::string() : at->second;
    });
  }
  testing::MemoryFileSystem fs_;
  std::map<std::string, std::string> variables_;
};

TEST_F(AwsConfigTest, TheEnvironmentComesFirst) {
  variables_["AWS_ACCESS_KEY_ID"] = "AKENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "envsecret";
  variables_["AWS_SESSION_TOKEN"] = "envtoken";
  variables_["AWS_DEFAULT_REGION"] = "ap-south-1";
  variables_["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9000";
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->keys.id, "AKENV");
  EXPECT_EQ(config->keys.secret, "envsecret");
  EXPECT_EQ(config->keys.token, "envtoken");
  EXPECT_EQ(config->region, "ap-south-1");
  EXPECT_EQ(config->endpoint, "http://127.0.0.1:9000");
}

TEST_F(AwsConfigTest, ThenTheFiles) {
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->keys.id, "AKFILE");
  EXPECT_EQ(config->keys.secret, "se/cr+et==");
  EXPECT_EQ(config->region, "eu-west-1");
  EXPECT_EQ(config->endpoint, "");
}

TEST_F(AwsConfigTest, AProfile) {
  variables_["AWS_PROFILE"] = "lab";
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->keys.id, "AKLAB");
  EXPECT_EQ(config->keys.token, "labtoken");
  EXPECT_EQ(config->region, "eu-north-1");
  EXPECT_EQ(config->endpoint, "http://lab.example:9000");
}

TEST_F(AwsConfigTest, NothingAtAllIsAnonymous) {
  variables_.clear();
  const auto config = Load();
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->keys.empty());
  EXPECT_EQ(config->region, "us-east-1");
}

TEST_F(AwsConfigTest, ErrorsSayWhatIsMissingAndNoSecret) {
  variables_["AWS_PROFILE"] = "nobody";
  EXPECT_THAT(Load().status().message(), HasSubstr("nobody"));
  variables_["AWS_PROFILE"] = "half";
  EXPECT_THAT(Load().status().message(), HasSubstr("aws_secret_access_key"));
  EXPECT_EQ(TroubleOf(Load().status()), Trouble::kConfig);
  variables_.erase("AWS_PROFILE");
  variables_["AWS_SECRET_ACCESS_KEY"] = "topsecret";
  EXPECT_THAT(Load().status().message(), HasSubstr("AWS_ACCESS_KEY_ID"));
  EXPECT_THAT(Load().status().message(), Not(HasSubstr("topsecret")));
  variables_.clear();
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = "not/there";
  EXPECT_THAT(Load().status().message(), HasSubstr("AWS_SHARED_CREDENTIALS_FILE"));
}

}  // namespace
}  // namespace lockstep::data
