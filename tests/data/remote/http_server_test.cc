// Records from a real web server on the loopback interface, through libcurl.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_writer.h"
#include "runtime/data/remote/remote_file_system.h"
#include "tests/testing/nginx_server.h"

namespace lockstep::data {
namespace {

using ::testing::HasSubstr;
using testing::NginxServer;
using ::testing::Not;

constexpr char kLocations[] = R"(
    location /noranges/ { alias ROOT/; max_ranges 0; }
    location /busy/ { return 503; }
    location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; }
    location /private/ { return 403; }
    location /bucket/ {
      alias ROOT/;
      if ($http_authorization !~ "^AWS4-HMAC-SHA256 Credential=AKID/[0-9]+/eu-west-1/s3/aws4_request, SignedHeaders=host;.*x-amz-date, Signature=[0-9a-f]+$") {
        return 403 '<Error><Code>SignatureDoesNotMatch</Code></Error>';
      }
    }
    location = /bucket/ {
      default_type application/xml;
      return 200 '<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a-0.tfrecord</Key><Size>1</Size></Contents><Contents><Key>a-1.tfrecord</Key><Size>1</Size></Contents></ListBucketResult>';
    })";

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!NginxServer::Installed()) GTEST_SKIP() << "nginx is not installed (apt-get install nginx-light)";
    const auto client = MakeHttpClient();
    if (!client.ok()) GTEST_SKIP() << client.status().message();
    ::setenv("no_proxy", "127.0.0.1", 1);
    folder_ = ::testing::TempDir() + "/http_server_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    options_.retry.deadline = absl::Seconds(20);
    options_.variable = [this](const std::string& name) { return variables_[name]; };
  }
  void TearDown() override {
    server_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  void Serve(bool tls = false) {
    auto server = NginxServer::Start(folder_, kLocations, tls);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    for (int file = 0; file < 2; ++file) {
      auto writer =
          RecordWriter::Create(RealFileSystem(), absl::StrCat(server_->root(), "/a-", file, ".tfrecord"),
                               {.write_index = file == 0});
      ASSERT_TRUE(writer.ok()) << writer.status();
      for (int i = 0; i < 400; ++i) ASSERT_TRUE((*writer)->Write(Payload(file * 400 + i)).ok());
      ASSERT_TRUE((*writer)->Close().ok());
    }
  }
  static std::string Payload(int id) {
    return absl::StrCat("record ", id,
                        std::string(static_cast<size_t>(id * 7 % 900), static_cast<char>('a' + id % 26)));
  }
  absl::StatusOr<std::shared_ptr<const Dataset>> Open(const std::string& path) {
    RemoteFileSystem fs(RealFileSystem(), options_);
    return Dataset::Open(&fs, {absl::StrCat(server_->address(), path)});
  }
  static void ExpectAll(const Dataset& dataset) {
    ASSERT_EQ(dataset.size(), 800);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 800; ++i) ids.push_back(i * 37 % 800);
    const auto ticket = dataset.Announce(ids);
    std::vector<std::thread> readers;
    for (size_t t = 0; t < 4; ++t) {
      readers.emplace_back([&, t] {
        for (size_t i = t; i < ids.size(); i += 4) {
          const auto record = dataset.Record(ids[i]);
          ASSERT_TRUE(record.ok()) << record.status();
          ASSERT_EQ(*record, Payload(static_cast<int>(ids[i])));
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
  }

  std::string folder_;
  std::map<std::string, std::string> variables_;
  RemoteOptions options_;
  std::unique_ptr<NginxServer> server_;
};

TEST_F(HttpServerTest, RecordsInAnyOrder) {
  Serve();
  const auto dataset = Open("/a-{0..1}.tfrecord");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ExpectAll(**dataset);
  const auto local = Dataset::Open(RealFileSystem(), {server_->root() + "/a-*.tfrecord"});
  EXPECT_EQ((*dataset)->fingerprint(), (*local)->fingerprint());
}

TEST_F(HttpServerTest, OverTls) {
  Serve(/*tls=*/true);
  const absl::Status nobody_vouches = Open("/a-{0..1}.tfrecord").status();
  EXPECT_THAT(nobody_vouches.message(), HasSubstr("certificate"));
  EXPECT_THAT(nobody_vouches.message(), HasSubstr("tried 1 times"));
  ::setenv("SSL_CERT_FILE", server_->certificate().c_str(), 1);
  const auto dataset = Open("/a-{0..1}.tfrecord");
  ::unsetenv("SSL_CERT_FILE");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
}

TEST_F(HttpServerTest, FollowsRedirections) {
  Serve();
  const auto dataset = Open("/moved/a-{0..1}.tfrecord");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ExpectAll(**dataset);
}

TEST_F(HttpServerTest, WhatTheServerDoesNotGive) {
  Serve();
  options_.retry.deadline = absl::Milliseconds(500);
  EXPECT_THAT(Open("/none.tfrecord").status().message(), HasSubstr("no such file"));
  EXPECT_THAT(Open("/private/a-0.tfrecord").status().message(), HasSubstr("may not be read"));
  EXPECT_THAT(Open("/busy/a-0.tfrecord").status().message(), HasSubstr("status 503 (tried"));
  EXPECT_THAT(Open("/noranges/a-0.tfrecord").status().message(), HasSubstr("does not answer range requests"));
}

TEST_F(HttpServerTest, AServerThatDiesIsAnErrorInTime) {
  Serve();
  const auto dataset = Open("/a-{0..1}.tfrecord");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const std::string address = server_->address();
  options_.retry.deadline = absl::Milliseconds(500);
  const auto impatient = Open("/a-1.tfrecord");
  ASSERT_TRUE(impatient.ok());
  server_.reset();
  const auto record = (*impatient)->Record(399);
  EXPECT_THAT(record.status().message(), HasSubstr(address));
  EXPECT_EQ(TroubleOf(record.status()), Trouble::kData);
  EXPECT_TRUE(absl::IsUnavailable(record.status()));
}

TEST_F(HttpServerTest, AFileThatIsReplacedIsNoticed) {
  Serve();
  const auto dataset = Open("/a-{0..1}.tfrecord");
  ASSERT_TRUE(dataset.ok());
  const std::string path = server_->root() + "/a-1.tfrecord";
  std::ofstream(path, std::ios::binary | std::ios::app) << "more";
  EXPECT_THAT((*dataset)->Record(799).status().message(), HasSubstr("has changed on the server"));
}

TEST_F(HttpServerTest, TheCacheMakesTheSecondRunLocal) {
  Serve();
  options_.cache_folder = folder_ + "/cache";
  options_.cache_block_bytes = 64 << 10;
  ExpectAll(**Open("/a-{0..1}.tfrecord"));
  const auto again = Open("/a-{0..1}.tfrecord");
  const std::string before = server_->Requests();
  ExpectAll(**again);
  EXPECT_EQ(server_->Requests(), before);
}

TEST_F(HttpServerTest, SignedRequestsOfS3) {
  Serve();
  variables_ = {{"AWS_ACCESS_KEY_ID", "AKID"},
                {"AWS_SECRET_ACCESS_KEY", "secret"},
                {"AWS_REGION", "eu-west-1"},
                {"AWS_ENDPOINT_URL_S3", server_->address()}};
  RemoteFileSystem fs(RealFileSystem(), options_);
  const auto dataset = Dataset::Open(&fs, {"s3://bucket/a-*.tfrecord"});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ExpectAll(**dataset);
  variables_["AWS_ACCESS_KEY_ID"] = "SOMEBODY";
  RemoteFileSystem other(RealFileSystem(), options_);
  const absl::Status refused = Dataset::Open(&other, {"s3://bucket/a-0.tfrecord"}).status();
  EXPECT_THAT(refused.message(), HasSubstr("SignatureDoesNotMatch"));
  EXPECT_THAT(refused.message(), Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace lockstep::data
