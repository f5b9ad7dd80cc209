// Conditions on records, as people write them: "label=3", "image/class/text=daisy", "mass>=12.5".
#ifndef LOCKSTEP_RUNTIME_DATA_RECORD_MATCH_H_
#define LOCKSTEP_RUNTIME_DATA_RECORD_MATCH_H_

#include <string>
#include <vector>

#include "runtime/core/status.h"

namespace lockstep::records {
class Features;  // proto/example.pb.h
}

namespace lockstep::data {

// A value type.
class RecordMatch {
 public:
  // Each of `conditions` is FEATURE OPERATOR VALUE with =, !=, <, <=, > or >=, and all must hold. Error: ConfigError for what is none.
  static absl::StatusOr<RecordMatch> Parse(const std::vector<std::string>& conditions);

  // A condition holds where one of the feature's values does: numbers are compared as numbers, strings by their bytes. A feature
  // that is not there, or holds nothing, fulfils none but "!=".
  bool Matches(const records::Features& features) const;

 private:
  enum class Operator { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
  struct Condition {
    std::string feature;
    Operator op;
    std::string text;
    bool is_number = false;
    double number = 0;
  };
  static bool Holds(const Condition& condition, const records::Features& features);
  std::vector<Condition> conditions_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_RUNTIME_DATA_RECORD_MATCH_H_
