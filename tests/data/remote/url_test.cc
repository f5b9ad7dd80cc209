#include "runtime/data/remote/url.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UrlTest, PartsOfAnAddress) {
  const auto http = ParseUrl("http://data.example:8080/a/b%20c.tfrecord?sig=x&y#part");
  ASSERT_TRUE(http.ok());
  EXPECT_EQ(http->scheme, "http");
  EXPECT_EQ(http->host, "data.example:8080");
  EXPECT_EQ(http->path, "/a/b%20c.tfrecord");
  EXPECT_EQ(http->query, "sig=x&y");
  const auto s3 = ParseUrl("s3://bucket/a folder/x?y.tfrecord");
  ASSERT_TRUE(s3.ok());
  EXPECT_EQ(s3->host, "bucket");
  EXPECT_EQ(s3->path, "/a folder/x?y.tfrecord");  // keys stand as they are
  EXPECT_EQ(s3->query, "");
  EXPECT_EQ(ParseUrl("https://host")->path, "/");
}

TEST(UrlTest, BadAddresses) {
  for (const std::string text :
       {"ftp://host/x", "http:///x", "s3://", "http://host/a b", "http://host/a\nb", "file"})
    EXPECT_EQ(TroubleOf(ParseUrl(text).status()), Trouble::kConfig) << text;
  const absl::Status secret = ParseUrl("https://me:secret@host/x").status();
  EXPECT_THAT(secret.message(), HasSubstr("name or password"));
  EXPECT_THAT(secret.message(), Not(HasSubstr("secret")));
}

TEST(UrlTest, SignaturesAreNotShown) {
  EXPECT_EQ(ShowUrl("https://host/x?X-Amz-Signature=abc"), "https://host/x?...");
  EXPECT_EQ(ShowUrl("s3://bucket/what?"), "s3://bucket/what?");
  EXPECT_EQ(ShowUrl("a?.tfrecord"), "a?.tfrecord");
}

TEST(UrlTest, PercentEncoding) {
  const std::string all = "aZ09-_.~ /+%\xc3\xa9";
  EXPECT_EQ(PercentEncode(all, false), "aZ09-_.~%20%2F%2B%25%C3%A9");
  EXPECT_EQ(PercentEncode("a/b", true), "a/b");
  EXPECT_EQ(*PercentDecode(PercentEncode(all, true)), all);
  for (const std::string text : {"%", "%1", "a%zz"}) EXPECT_FALSE(PercentDecode(text).ok()) << text;
}

TEST(UrlTest, Braces) {
  EXPECT_THAT(*ExpandBraces("s3://b/x-{00009..00011}-of-12.tfrecord"),
              ElementsAre("s3://b/x-00009-of-12.tfrecord", "s3://b/x-00010-of-12.tfrecord",
                          "s3://b/x-00011-of-12.tfrecord"));
  EXPECT_THAT(*ExpandBraces("{1..2}/{8..9}"), ElementsAre("1/8", "1/9", "2/8", "2/9"));
  for (const std::string text : {"plain", "{a..b}", "{1..}", "{1,2}", "{", "{1..2", "{-1..2}", ""})
    EXPECT_THAT(*ExpandBraces(text), ElementsAre(text));
  for (const std::string text : {"{5..4}", "{0..99999999}", "{0..999}{0..999}{0..999}"})
    EXPECT_EQ(TroubleOf(ExpandBraces(text).status()), Trouble::kConfig) << text;
}

}  // namespace
}  // namespace lockstep::data
