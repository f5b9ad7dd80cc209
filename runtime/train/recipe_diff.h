// What differs between two recipes, by the names of fields.
#ifndef LOCKSTEP_RUNTIME_TRAIN_RECIPE_DIFF_H_
#define LOCKSTEP_RUNTIME_TRAIN_RECIPE_DIFF_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace lockstep::train {

// (path, value) of every scalar field in the order of the text: ("optimizer.adamw.lr", "0.001"). The second
// and later occurrences of a repeated field get an index: "layers", "layers[1]".
using FlatRecipe = std::vector<std::pair<std::string, std::string>>;

// Flattens the text form of any protocol buffer message, without its schema, so that recipes of other
// versions can be compared too. Text that is no textproto ends the list where it goes wrong.
FlatRecipe FlattenText(absl::string_view textproto);

// One line a difference: "optimizer.adamw.lr: 0.001 -> 0.002", "clip_norm: 1 -> (unset)". Empty: no
// difference.
std::vector<std::string> RecipeDiff(const FlatRecipe& before, const FlatRecipe& after);

}  // namespace lockstep::train

#endif  // LOCKSTEP_RUNTIME_TRAIN_RECIPE_DIFF_H_
