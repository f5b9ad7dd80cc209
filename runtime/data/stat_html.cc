// Statistics as one page without links: a table of features with their histograms and most frequent values.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "runtime/data/columns/statistics.h"
#include "runtime/data/stat_html.h"

namespace lockstep::data {
namespace {

constexpr int kBarWidth = 9, kPlotHeight = 48;
constexpr size_t kMostPlots = 16;  // of the places of a feature
constexpr size_t kMostShown = 12;  // of a feature's values

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Records</title>\n<style>\n"
    "body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; "
    "color: #222; background: #fff }\n"
    "h1 { font-size: 1.3em } h2 { font-size: 1.05em; margin: 1.8em 0 .3em } p { margin: .3em 0; color: #555 "
    "}\n"
    "figure { display: inline-block; margin: .4em 1.6em .4em 0; vertical-align: top }\n"
    "figcaption { font-size: .8em; color: #555 } rect { fill: #4477aa }\n"
    "td { padding: .1em .8em .1em 0; font-size: .9em } td.bar div { background: #4477aa; height: .8em }\n"
    "@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } "
    "p, figcaption { color: #aaa } }\n</style></head><body>\n";

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Plot(const NumberStatistics& n, const std::string& title) {
  std::string bars;
  const int64_t most = n.histogram.empty() ? 1 : *std::max_element(n.histogram.begin(), n.histogram.end());
  for (size_t i = 0; i < n.histogram.size(); ++i) {
    const double height = kPlotHeight * static_cast<double>(n.histogram[i]) / static_cast<double>(most);
    absl::StrAppendFormat(&bars, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>",
                          static_cast<int>(i) * kBarWidth, kPlotHeight - height, kBarWidth - 1, height);
  }
  return absl::StrFormat(
      "<figure><svg role=\"img\" aria-label=\"histogram\" width=\"%d\" height=\"%d\">%s</svg>"
      "<figcaption>%s%.6g to %.6g<br>mean %.6g, deviation %.6g</figcaption></figure>\n",
      kHistogramBins * kBarWidth, kPlotHeight, bars, title, n.min, n.max, n.mean, n.std);
}

std::string Values(const FeatureStatistics& feature) {
  if (!feature.all_values || feature.values.empty()) return "";
  std::string rows;
  const double all = static_cast<double>(feature.elements);
  for (size_t i = 0; i < std::min(kMostShown, feature.values.size()); ++i) {
    const ValueCount& value = feature.values[i];
    const double share = 100 * static_cast<double>(value.count) / all;
    absl::StrAppendFormat(&rows,
                          "<tr><td>%s</td><td>%d</td><td>%.1f&nbsp;%%</td>"
                          "<td class=\"bar\"><div style=\"width:%.0fpx\"></div></td></tr>\n",
                          Escape(value.value), value.count, share, 3 * share);
  }
  return absl::StrCat("<p>", feature.values.size(), " different values</p><table>\n", rows, "</table>\n");
}

std::string Feature(const std::string& name, const FeatureStatistics& feature, int64_t records) {
  std::string text = absl::StrFormat("<h2>%s</h2>\n<p>%s, %d elements in %d", Escape(name), feature.type,
                                     feature.elements, feature.records);
  if (records >= 0) absl::StrAppend(&text, " of ", records, " records");
  if (records < 0) absl::StrAppend(&text, " steps");
  absl::StrAppend(&text, "</p>\n", Values(feature));
  size_t plots = 0;
  for (size_t i = 0; i < feature.numbers.size() && plots < kMostPlots; ++i) {
    const NumberStatistics& n = feature.numbers[i];
    if (n.count == 0 || n.histogram.empty()) continue;
    absl::StrAppend(&text, Plot(n, feature.numbers.size() == 1 ? "" : absl::StrCat("place ", i, ": ")));
    ++plots;
  }
  return text;
}

}  // namespace

std::string StatisticsPage(const Statistics& statistics) {
  std::string text = kHead;
  absl::StrAppend(&text, "<h1>", statistics.records, " records in ", statistics.files.size(),
                  " files</h1>\n<p>fingerprint ", statistics.fingerprint, "</p>\n");
  for (const auto& [name, types] : statistics.features) {
    for (const FeatureStatistics& feature : types)
      absl::StrAppend(&text, Feature(name, feature, statistics.records));
  }
  for (const auto& [name, types] : statistics.lists) {
    for (const FeatureStatistics& feature : types) absl::StrAppend(&text, Feature(name, feature, -1));
  }
  return absl::StrCat(text, "</body></html>\n");
}

}  // namespace lockstep::data
