#include "runtime/data/text/merge_trainer.h"

#include <algorithm>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lockstep::data {
namespace {

using Pair = std::pair<int32_t, int32_t>;

// Pairs in the order in which they are merged: the most frequent first. Counts of entries may be outdated;
// they are then put right when they come up.
struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : other.pair < pair;
  }
};

// The words as tokens, and where each pair of neighbours is.
class Corpus {
 public:
  explicit Corpus(std::vector<MergeWord> words) : words_(std::move(words)) {
    for (size_t i = 0; i < words_.size(); ++i) {
      const std::vector<int32_t>& tokens = words_[i].tokens;
      for (size_t k = 0; k + 1 < tokens.size(); ++k) Change({tokens[k], tokens[k + 1]}, words_[i].count, i);
    }
    for (const auto& [pair, count] : counts_) queue_.push({count, pair});
  }

  // The next pair to be merged. False where none is left.
  bool Next(Pair* pair) {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const int64_t count = counts_.at(best.pair);
      if (count > 0 && count == best.count) {
        *pair = best.pair;
        return true;
      }
      if (count > 0) queue_.push({count, best.pair});
    }
    return false;
  }

  void Merge(Pair pair, int32_t id) {
    std::vector<uint32_t> places = std::move(places_[pair]);
    places_.erase(pair);
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    grown_.clear();
    for (const uint32_t place : places) MergeIn(place, pair, id);
    counts_[pair] = 0;
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const Pair& grown : grown_) {
      if (counts_[grown] > 0) queue_.push({counts_[grown], grown});
    }
  }

 private:
  void Change(Pair pair, int64_t count, size_t place) {
    counts_[pair] += count;
    if (count > 0) places_[pair].push_back(static_cast<uint32_t>(place));
  }

  void MergeIn(uint32_t place, Pair pair, int32_t id) {
    MergeWord& word = words_[place];
    std::vector<int32_t>& tokens = word.tokens;
    size_t out = 0;
    for (size_t in = 0; in < tokens.size(); ++in, ++out) {
      const bool found = in + 1 < tokens.size() && tokens[in] == pair.first && tokens[in + 1] == pair.second;
      if (!found) {
        tokens[out] = tokens[in];
        continue;
      }
      if (out > 0) {
        counts_[{tokens[out - 1], pair.first}] -= word.count;
        Grow({tokens[out - 1], id}, word.count, place);
      }
      if (in + 2 < tokens.size()) {
        counts_[{pair.second, tokens[in + 2]}] -= word.count;
        Grow({id, tokens[in + 2]}, word.count, place);
      }
      tokens[out] = id;
      ++in;
    }
    tokens.resize(out);
  }

  void Grow(Pair pair, int64_t count, uint32_t place) {
    Change(pair, count, place);
    grown_.push_back(pair);
  }

  std::vector<MergeWord> words_;
  absl::flat_hash_map<Pair, int64_t> counts_;
  absl::flat_hash_map<Pair, std::vector<uint32_t>> places_;  // words; some no longer have the pair
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> grown_;
};

}  // namespace

void LearnMerges(std::vector<MergeWord> words, int32_t vocabulary, absl::string_view prefix,
                 TokenizerSpec* spec) {
  absl::flat_hash_map<std::string, int32_t> ids;
  for (const auto& [token, id] : spec->vocabulary) ids.emplace(token, id);
  Corpus corpus(std::move(words));
  absl::flat_hash_set<Pair> learned;  // a pair may come up again, where two ways lead to one token
  for (Pair pair; static_cast<int32_t>(spec->vocabulary.size()) < vocabulary && corpus.Next(&pair);) {
    const std::string left = spec->vocabulary[pair.first].first, right = spec->vocabulary[pair.second].first;
    const std::string merged = absl::StrCat(left, absl::StripPrefix(right, prefix));
    const auto [at, is_new] = ids.emplace(merged, static_cast<int32_t>(spec->vocabulary.size()));
    const int32_t id = at->second;
    if (is_new) spec->vocabulary.emplace_back(merged, id);
    corpus.Merge(pair, id);
    if (learned.insert(pair).second) spec->merges.emplace_back(left, right);
  }
}

}  // namespace lockstep::data
