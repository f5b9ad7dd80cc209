#include "runtime/data/make_typed.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/data/dataset.h"
#include "tests/data/record_bytes.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MakeTypedTest : public ::testing::Test {
 protected:
  absl::Status Make(const std::string& input, std::vector<std::string> columns, TypedOptions options = {}) {
    Put(&fs_, "in", input);
    options.input = "in";
    for (const std::string& column : columns) options.columns.push_back(*ParseTypedColumn(column));
    return MakeFromTyped(&fs_, options, {.out = "out"}, out_);
  }
  std::string ErrorOf(const std::string& input, std::vector<std::string> columns, TypedOptions options = {}) {
    return std::string(Make(input, std::move(columns), std::move(options)).message());
  }
  std::vector<records::Example> Records(const std::string& pattern) {
    const std::vector<std::string> patterns = {pattern};
    const auto dataset = *Dataset::Open(&fs_, patterns);
    std::vector<records::Example> examples(static_cast<size_t>(dataset->size()));
    for (int64_t i = 0; i < dataset->size(); ++i)
      EXPECT_TRUE(examples[i].ParseFromString(std::string(*dataset->Record(i))));
    return examples;
  }

  lockstep::testing::MemoryFileSystem fs_;
  std::ostringstream out_;
};

TEST_F(MakeTypedTest, Csv) {
  ASSERT_TRUE(Make("\xef\xbb\xbfname,mass,\"a \"\"b\"\"\"\r\n\"x, y\",NA,3\r\n\"two\nlines\",4.5,\n",
                   {"name:string", "mass:float", "b:int=a \"b\""}, {.missing = "NA"})
                  .ok());
  const auto examples = Records("out*.tfrecord");
  ASSERT_EQ(examples.size(), 2u);
  const auto& first = examples[0].features().feature();
  EXPECT_EQ(first.at("name").bytes_list().value(0), "x, y");
  EXPECT_EQ(first.count("mass"), 0u);
  EXPECT_EQ(first.at("b").int64_list().value(0), 3);
  const auto& second = examples[1].features().feature();
  EXPECT_EQ(second.at("name").bytes_list().value(0), "two\nlines");
  EXPECT_EQ(second.at("mass").float_list().value(0), 4.5);
  EXPECT_EQ(second.count("b"), 0u);
}

TEST_F(MakeTypedTest, CategoriesAreSortedAndListed) {
  ASSERT_TRUE(Make("s\nb\na\n\"\"\nb\nc\n", {"label:category=s"}, {.test_every = 2}).ok());
  EXPECT_EQ(*ReadWholeFile(&fs_, "out-label.txt"), "a\nb\nc\n");
  EXPECT_EQ(Records("out-test*")[0].features().feature().at("label").int64_list().value(0), 1);
  EXPECT_EQ(Records("out-train*")[1].features().feature().at("label").int64_list().value(0), 2);
}

TEST_F(MakeTypedTest, JsonLines) {
  ASSERT_TRUE(Make("{\"a\": [1, 2], \"s\": \"x\", \"t\": [\"p\", \"q\"], \"f\": 3}\n\n"
                   "{\"a\": null, \"s\": true, \"f\": 1e-3, \"rest\": {}}\n",
                   {"a:int", "s:string", "t:string", "f:float"}, {.json = true})
                  .ok());
  const auto examples = Records("out*.tfrecord");
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_THAT(examples[0].features().feature().at("a").int64_list().value(), ElementsAre(1, 2));
  EXPECT_THAT(examples[0].features().feature().at("t").bytes_list().value(), ElementsAre("p", "q"));
  EXPECT_EQ(examples[1].features().feature().count("a"), 0u);
  EXPECT_EQ(examples[1].features().feature().at("s").bytes_list().value(0), "true");
  EXPECT_FLOAT_EQ(examples[1].features().feature().at("f").float_list().value(0), 1e-3f);
}

TEST_F(MakeTypedTest, ErrorsNameLineAndColumn) {
  EXPECT_THAT(ErrorOf("mass\n1\nheavy\n", {"mass:float"}),
              HasSubstr("in, line 3: column 'mass': 'heavy' is not a number"));
  EXPECT_THAT(ErrorOf("mass\n1\n", {"m:float=mas"}), HasSubstr("no column 'mas'; did you mean 'mass'"));
  EXPECT_THAT(ErrorOf("a,b\n1\n", {"a:int"}), HasSubstr("line 2: there are 1 cells for the 2 columns"));
  EXPECT_THAT(ErrorOf("a\n\"x\n", {"a:string"}), HasSubstr("line 2: a quote is never closed"));
  EXPECT_THAT(ErrorOf("a\n\"x\"y\n", {"a:string"}), HasSubstr("'y' stands behind a closing quote"));
  EXPECT_THAT(ErrorOf("{\"a\": 1}\n[1]\n", {"a:int"}, {.json = true}),
              HasSubstr("line 2: this is no JSON object"));
  EXPECT_THAT(ErrorOf("{\"a\": 1.5}\n", {"a:int"}, {.json = true}),
              HasSubstr("'a' is 1.5, which is no value"));
  EXPECT_EQ(TroubleOf(ParseTypedColumn("a:double").status()), Trouble::kConfig);
  EXPECT_EQ(TroubleOf(ParseTypedColumn("a").status()), Trouble::kConfig);
  EXPECT_EQ(TroubleOf(ParseTypedColumn(":int").status()), Trouble::kConfig);
}

}  // namespace
}  // namespace lockstep::data
