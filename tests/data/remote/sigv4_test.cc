// Against the signatures that AWS published: its test suite of Signature Version 4, and the examples of S3's documentation
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
#include "runtime/data/remote/sigv4.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/core/hash.h"

namespace lockstep::data {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

// ---- The test suite

const AwsKeys kSuiteKeys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
const SigningScope kSuiteScope = {"us-east-1", "service", "20150830T123600Z", /*normalize_path=*/true};

SignedRequest SuiteRequest(const std::string& path) {
  SignedRequest request;
  request.path = path;
  request.headers = {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}};
  request.payload_sha256 = kEmptySha256;
  return request;
}

std::string SuiteSignature(const SignedRequest& request) {
  return Authorization(request, kSuiteScope, kSuiteKeys);
}

TEST(SigV4Test, GetVanilla) {
  const SignedRequest request = SuiteRequest("/");
  EXPECT_EQ(CanonicalRequest(request, true),
            "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(SuiteSignature(request),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(SigV4Test, GetVanillaQueryOrderKeyCase) {
  SignedRequest request = SuiteRequest("/");
  request.query = {{"Param2", "value2"}, {"Param1", "value1"}};
  EXPECT_THAT(SuiteSignature(request),
              EndsWith("b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST(SigV4Test, GetHeaderValueTrim) {
  SignedRequest request = SuiteRequest("/");
  request.headers["my-header1"] = " value1";
  request.headers["my-header2"] = " \"a   b   c\"";
  EXPECT_THAT(SuiteSignature(request),
              EndsWith("acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"));
}

TEST(SigV4Test, GetUnreserved) {
  const SignedRequest request =
      SuiteRequest("/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
  EXPECT_THAT(SuiteSignature(request),
              EndsWith("07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"));
}

TEST(SigV4Test, GetUtf8) {
  EXPECT_THAT(SuiteSignature(SuiteRequest("/\xe1\x88\xb4")),
              EndsWith("8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"));
}

TEST(SigV4Test, NormalizePath) {
  const std::string vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
  for (const std::string path : {"/example/..", "/example1/example2/../..", "/./", "//"})
    EXPECT_THAT(SuiteSignature(SuiteRequest(path)), EndsWith(vanilla)) << path;
  EXPECT_THAT(SuiteSignature(SuiteRequest("//example//")),
              EndsWith("9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"));
}

// ---- The examples of S3

const AwsKeys kS3Keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const SigningScope kS3Scope = {"us-east-1", "s3", "20130524T000000Z"};

SignedRequest S3Request(const std::string& path) {
  SignedRequest request;
  request.path = path;
  request.headers = {{"host", "examplebucket.s3.amazonaws.com"},
                     {"x-amz-content-sha256", kEmptySha256},
                     {"x-amz-date", "20130524T000000Z"}};
  request.payload_sha256 = kEmptySha256;
  return request;
}

TEST(SigV4Test, S3GetObjectWithRange) {
  SignedRequest request = S3Request("/test.txt");
  request.headers["range"] = "bytes=0-9";
  const std::string canonical = CanonicalRequest(request, false);
  EXPECT_EQ(Sha256Hex(canonical), "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
  EXPECT_THAT(StringToSign(canonical, kS3Scope), HasSubstr("20130524/us-east-1/s3/aws4_request"));
  EXPECT_EQ(Authorization(request, kS3Scope, kS3Keys),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4Test, S3GetBucketLifecycle) {
  SignedRequest request = S3Request("/");
  request.query = {{"lifecycle", ""}};
  EXPECT_THAT(Authorization(request, kS3Scope, kS3Keys),
              EndsWith("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(SigV4Test, S3ListObjects) {
  SignedRequest request = S3Request("/");
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_THAT(Authorization(request, kS3Scope, kS3Keys),
              EndsWith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

}  // namespace
}  // namespace lockstep::data
