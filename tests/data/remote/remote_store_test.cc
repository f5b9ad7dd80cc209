#include "runtime/data/remote/remote_store.h"

#include <filesystem>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "runtime/data/record_tools.h"
#include "runtime/data/remote/remote_file_system.h"
#include "tests/data/record_bytes.h"
#include "tests/data/remote/fake_server.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kUrl[] = "http://host/a.bin";

class RemoteStoreTest : public ::testing::Test {
 protected:
  RemoteStoreTest() {
    options_.variable = [this](const std::string& name) { return variables_[name]; };
    options_.retry.sleep = [this](absl::Duration duration) { slept_.push_back(duration); };
    for (int i = 0; i < 200000; ++i) bytes_.push_back(static_cast<char>(i * 31 + i / 253));
    server_.files[kUrl] = bytes_;
  }
  std::shared_ptr<RemoteStore> Store() {
    return std::make_shared<RemoteStore>(&local_, options_, std::make_unique<FakeClient>(&server_));
  }
  static std::string Read(const ReadableFile& file, uint64_t offset, size_t size_bytes) {
    std::string out(size_bytes, '\0');
    const absl::Status status = file.ReadAt(offset, out.data(), size_bytes);
    return status.ok() ? out : absl::StrCat("error: ", status.message());
  }
  static absl::StatusOr<HttpResponse> Answer(int status) {
    return HttpResponse{.status = status, .headers = {}, .body = ""};
  }

  testing::MemoryFileSystem local_;
  std::map<std::string, std::string> variables_;
  RemoteOptions options_;
  FakeServer server_;
  std::vector<absl::Duration> slept_;
  std::string bytes_;
};

TEST_F(RemoteStoreTest, ReadsWhatIsAskedAndNoMore) {
  const auto file = Store()->Open(kUrl);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size_bytes(), bytes_.size());
  EXPECT_EQ(Read(**file, 10, 100), bytes_.substr(10, 100));  // of the head, which opening brought
  EXPECT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(Read(**file, 150000, 5000), bytes_.substr(150000, 5000));
  EXPECT_EQ(server_.requests.back().headers["range"], "bytes=150000-154999");
  EXPECT_EQ(server_.requests.back().headers["if-match"], "\"1\"");
  EXPECT_EQ(Read(**file, bytes_.size() - 1, 1), bytes_.substr(bytes_.size() - 1));
  EXPECT_THAT(Read(**file, bytes_.size() - 1, 2), HasSubstr("ends at byte 200000"));
  EXPECT_EQ(server_.requests.size(), 3u);
}

TEST_F(RemoteStoreTest, AFileOfNoBytes) {
  server_.files[kUrl] = "";
  const auto file = Store()->Open(kUrl);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size_bytes(), 0u);
}

TEST_F(RemoteStoreTest, TroubleThatPassesIsWaitedFor) {
  for (const int status : {503, 429, 500, 502, 504, 408}) server_.first.push_back(Answer(status));
  server_.first.push_back(absl::UnavailableError("Connection refused"));
  const auto file = Store()->Open(kUrl);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(slept_.size(), 7u);
  EXPECT_EQ(slept_[0], absl::Milliseconds(100));
  EXPECT_EQ(slept_[3], absl::Milliseconds(800));
  EXPECT_EQ(slept_[6], absl::Seconds(5));  // never more
}

TEST_F(RemoteStoreTest, WaitsAsLongAsTheServerSays) {
  server_.first.push_back(HttpResponse{.status = 503, .headers = {{"retry-after", "7"}}, .body = ""});
  EXPECT_TRUE(Store()->Open(kUrl).ok());
  EXPECT_THAT(slept_, ElementsAre(absl::Seconds(7)));
}

TEST_F(RemoteStoreTest, GivesUpAtTheDeadline) {
  for (int i = 0; i < 1000; ++i) server_.first.push_back(absl::UnavailableError("Connection refused"));
  options_.retry.deadline = absl::Seconds(20);
  const absl::Status status = Store()->Open("http://host/a.bin?signature=secret").status();
  EXPECT_THAT(status.message(), AllOf(HasSubstr("http://host/a.bin"), HasSubstr("Connection refused"),
                                      HasSubstr("tried 9 times within 20s"), Not(HasSubstr("secret"))));
  EXPECT_EQ(TroubleOf(status), Trouble::kData);
  EXPECT_TRUE(absl::IsUnavailable(status));
}

TEST_F(RemoteStoreTest, AnswersThatWaitingDoesNotChange) {
  EXPECT_TRUE(absl::IsNotFound(Store()->Open("http://host/none").status()));
  for (const int status : {401, 403}) {
    server_.first.push_back(Answer(status));
    EXPECT_TRUE(absl::IsPermissionDenied(Store()->Open(kUrl).status()));
  }
  server_.first.push_back(Answer(400));
  EXPECT_THAT(Store()->Open(kUrl).status().message(), HasSubstr("status 400"));
  EXPECT_TRUE(slept_.empty());
}

TEST_F(RemoteStoreTest, AServerWithoutRanges) {
  server_.ranges = false;
  EXPECT_THAT(Store()->Open(kUrl).status().message(), HasSubstr("does not answer range requests"));
}

TEST_F(RemoteStoreTest, AServerThatAnswersSomethingElse) {
  server_.first.push_back(
      HttpResponse{.status = 206, .headers = {{"content-range", "bytes 5-9/10"}}, .body = "hello"});
  EXPECT_THAT(Store()->Open(kUrl).status().message(), HasSubstr("another range"));
  for (const std::string range : {"", "bytes", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10",
                                  "bytes 0-9/18446744073709551616", "bytes a-b/c", "bytes */10"}) {
    server_.first.push_back(
        HttpResponse{.status = 206, .headers = {{"content-range", range}}, .body = "0123456789"});
    EXPECT_THAT(Store()->Open(kUrl).status().message(), HasSubstr("another range")) << range;
  }
  const auto file = Store()->Open(kUrl);
  server_.first.push_back(
      HttpResponse{.status = 206,
                   .headers = {{"content-range", "bytes 100000-100009/200000"}, {"etag", "\"1\""}},
                   .body = "short"});
  EXPECT_THAT(Read(**file, 100000, 10), HasSubstr("another range"));
}

TEST_F(RemoteStoreTest, AFileThatChangesIsNoticed) {
  const auto file = Store()->Open(kUrl);
  server_.etag = "\"2\"";
  EXPECT_THAT(Read(**file, 100000, 10), HasSubstr("has changed on the server"));
  server_.etag = "W/\"weak\"";
  const auto weak = Store()->Open(kUrl);
  server_.etag = "W/\"other\"";
  EXPECT_THAT(Read(**weak, 100000, 10), HasSubstr("has changed on the server"));
  EXPECT_EQ(server_.requests.back().headers.count("if-match"), 0u);
  server_.etag = "";
  const auto unknown = Store()->Open(kUrl);
  server_.files[kUrl] += "more";
  EXPECT_THAT(Read(**unknown, 100000, 10), HasSubstr("has changed on the server"));
}

TEST_F(RemoteStoreTest, TheCacheIsAskedFirst) {
  const std::string folder = ::testing::TempDir() + "/remote_store_cache";
  std::filesystem::remove_all(folder);
  options_.cache_folder = folder;
  options_.cache_block_bytes = 1000;
  {
    const auto file = Store()->Open(kUrl);
    EXPECT_EQ(Read(**file, 100500, 1000), bytes_.substr(100500, 1000));
    EXPECT_EQ(server_.requests.back().headers["range"], "bytes=100000-101999");  // two blocks, one request
    EXPECT_EQ(Read(**file, 99000, 4000), bytes_.substr(99000, 4000));
    EXPECT_EQ(server_.requests.size(), 4u);  // a block before, and one behind
    EXPECT_EQ(Read(**file, 199990, 10), bytes_.substr(199990));
  }
  const size_t before = server_.requests.size();
  const auto again = Store()->Open(kUrl);
  EXPECT_EQ(Read(**again, 99000, 4000), bytes_.substr(99000, 4000));
  EXPECT_EQ(server_.requests.size(), before + 1);  // only that of opening
  server_.etag = "\"2\"";                          // another file: nothing of the old one is taken
  server_.files[kUrl][100700] ^= 1;
  const auto other = Store()->Open(kUrl);
  EXPECT_EQ(Read(**other, 100000, 1000), server_.files[kUrl].substr(100000, 1000));
  std::filesystem::remove_all(folder);
}

TEST_F(RemoteStoreTest, S3RequestsAreSignedAndGoWhereTheBucketIs) {
  variables_ = {{"AWS_ACCESS_KEY_ID", "AKID"},
                {"AWS_SECRET_ACCESS_KEY", "topsecret"},
                {"AWS_SESSION_TOKEN", "token"},
                {"AWS_REGION", "eu-west-1"}};
  server_.files["https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c.bin"] = bytes_;
  ASSERT_TRUE(Store()->Open("s3://bucket/a b/c.bin").ok());
  const HttpRequest& request = server_.requests.back();
  EXPECT_THAT(
      request.headers.at("authorization"),
      AllOf(StartsWith("AWS4-HMAC-SHA256 Credential=AKID/"), HasSubstr("/eu-west-1/s3/aws4_request"),
            HasSubstr("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            Not(HasSubstr("topsecret"))));
  EXPECT_EQ(request.headers.at("host"), "bucket.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(request.headers.at("x-amz-security-token"), "token");
  server_.files["https://s3.eu-west-1.amazonaws.com/my.bucket/x"] = bytes_;
  EXPECT_TRUE(Store()->Open("s3://my.bucket/x").ok());
  variables_["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9000";
  server_.files["http://127.0.0.1:9000/bucket/x"] = bytes_;
  EXPECT_TRUE(Store()->Open("s3://bucket/x").ok());
  EXPECT_EQ(server_.requests.back().headers.at("host"), "127.0.0.1:9000");
}

TEST_F(RemoteStoreTest, WithoutKeysS3IsAskedWithoutASignature) {
  server_.files["https://open.s3.us-east-1.amazonaws.com/x"] = bytes_;
  EXPECT_TRUE(Store()->Open("s3://open/x").ok());
  EXPECT_EQ(server_.requests.back().headers.count("authorization"), 0u);
  const absl::Status none = Store()->Open("s3://open/y").status();
  EXPECT_THAT(none.message(), AllOf(HasSubstr("s3://open/y"), HasSubstr("NoSuchKey")));
}

constexpr char kListing[] =
    "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>"
    "<Contents><Key>data/</Key><Size>0</Size></Contents>"
    "<Contents><Key>data/b+%C3%A9.tfrecord</Key><ETag>&quot;x&quot;</ETag><Size>12</Size></Contents>"
    "<Contents><Key>data/a.tfrecord</Key><Size>5</Size></Contents>"
    "<NextContinuationToken>next+/=</NextContinuationToken></ListBucketResult>";

TEST_F(RemoteStoreTest, ListsOfS3) {
  const auto listing = ParseS3Listing(kListing, "data/");
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->files.size(), 2u);
  EXPECT_EQ(listing->files[0].name, "b \xc3\xa9.tfrecord");
  EXPECT_EQ(listing->files[0].size_bytes, 12u);
  EXPECT_EQ(listing->next_token, "next+/=");
  for (const std::string xml :
       {"", "<html>", "<ListBucketResult><Contents><Key>data/x</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size><Key>other/x</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>data/%</Key><Size>1</Size></Contents></ListBucketResult>"})
    EXPECT_FALSE(ParseS3Listing(xml, "data/").ok()) << xml;
}

TEST_F(RemoteStoreTest, PatternsOfS3AreLooked) {
  const std::string list = "https://b.s3.us-east-1.amazonaws.com/?";
  const std::string rest = "delimiter=%2F&encoding-type=url&list-type=2&prefix=data%2F";
  server_.files[list + rest] = kListing;
  server_.files[list + "continuation-token=next%2B%2F%3D&" + rest] =
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>data/a2.tfrecord</Key><Size>1</"
      "Size></Contents>"
      "</ListBucketResult>";
  RemoteFileSystem fs(&local_, Store());
  const auto found = GlobRecords(&fs, "s3://b/data/a*");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ElementsAre("s3://b/data/a.tfrecord", "s3://b/data/a2.tfrecord"));
}

TEST_F(RemoteStoreTest, WebServersHaveNoLists) {
  RemoteFileSystem fs(&local_, Store());
  EXPECT_THAT(GlobRecords(&fs, "http://host/a-*.tfrecord").status().message(), HasSubstr("{00000..00031}"));
  EXPECT_THAT(*GlobRecords(&fs, "http://host/a-{8..9}?x=1"),
              ElementsAre("http://host/a-8?x=1", "http://host/a-9?x=1"));
  EXPECT_EQ(TroubleOf(fs.Create("s3://b/x").status()), Trouble::kConfig);
}

// ---- Records

TEST_F(RemoteStoreTest, RecordsWithAndWithoutAnIndex) {
  std::vector<std::string> payloads;
  for (int i = 0; i < 3000; ++i)
    payloads.push_back(std::string(static_cast<size_t>(i % 300), static_cast<char>('a' + i % 26)));
  Put(&local_, "a.tfrecord", FileOf(payloads));
  const auto local = Dataset::Open(&local_, {"a.tfrecord"});
  ASSERT_TRUE(local.ok());
  const std::string url = "http://host/a.tfrecord";
  server_.files[url] = *ReadWholeFile(&local_, "a.tfrecord");
  RemoteFileSystem fs(&local_, Store());
  for (const bool indexed : {false, true}) {
    if (indexed) server_.files[url + ".lsidx"] = (*local)->files()[0]->index().Encode();
    server_.requests.clear();
    const auto remote = Dataset::Open(&fs, {url});
    ASSERT_TRUE(remote.ok()) << remote.status();
    EXPECT_LE(server_.requests.size(), indexed ? 4u : 10u);  // file, index, last record; without: all of it
    EXPECT_EQ((*remote)->fingerprint(), (*local)->fingerprint());
    ASSERT_EQ((*remote)->size(), 3000);
    EXPECT_TRUE((*remote)->reads());
    const auto ticket = (*remote)->Announce({2999, 17, 1500, 1501});
    for (const int64_t id : {2999, 17, 1500, 1501, 600}) {
      const auto record = (*remote)->Record(id);
      ASSERT_TRUE(record.ok()) << record.status();
      EXPECT_EQ(*record, payloads[static_cast<size_t>(id)]);
    }
  }
}

TEST_F(RemoteStoreTest, DamagedRecordsAreNamed) {
  std::string bytes = FileOf({std::string(70000, 'a'), std::string(70000, 'b'), "c"});
  const std::string url = "http://host/a.tfrecord";
  bytes[70016 + 12 + 69000] ^= 4;
  server_.files[url] = bytes;
  RemoteFileSystem fs(&local_, Store());
  const auto dataset = Dataset::Open(&fs, {url});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(
      (*dataset)->Record(1).status().message(),
      AllOf(HasSubstr(url), HasSubstr("byte 70016, record 1: the payload of 70000 bytes is damaged")));
  EXPECT_EQ(*(*dataset)->Record(2), "c");
  std::ostringstream out;
  EXPECT_THAT(VerifyRecords(&fs, {url}, 1, out).message(), HasSubstr("1 damaged places in 1 of 1 files"));
  EXPECT_THAT(out.str(), AllOf(HasSubstr("record 1: the payload"), HasSubstr("2 whole records in 1 files")));
  server_.files[url].resize(70016 + 20000);
  EXPECT_THAT(Dataset::Open(&fs, {url}).status().message(), HasSubstr("is cut short"));
  server_.files[url] = std::string(100, 'x');
  EXPECT_THAT(Dataset::Open(&fs, {url}).status().message(), HasSubstr("not a TFRecord file"));
  for (int i = 0; i < 1000; ++i) server_.first.push_back(Answer(503));
  EXPECT_TRUE(absl::IsUnavailable(Dataset::Open(&fs, {url}).status()));
}

}  // namespace
}  // namespace lockstep::data
