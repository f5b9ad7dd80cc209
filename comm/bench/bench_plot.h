// The plot of `lockstep comm --plot`: bandwidth over size, both logarithmic, as one SVG file that needs
// nothing else. Pure text. Internal to comm/bench.
#ifndef LOCKSTEP_COMM_BENCH_BENCH_PLOT_H_
#define LOCKSTEP_COMM_BENCH_BENCH_PLOT_H_

#include <string>
#include <utility>
#include <vector>

namespace lockstep::comm {

struct PlotLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // bytes, GB/s (1e9 bytes); both > 0, others are left out
  bool bound = false;                             // drawn dashed and grey, behind the rest
};

struct Plot {
  std::string title, subtitle;
  std::vector<PlotLine> lines;
};

std::string SvgOf(const Plot& plot);

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_BENCH_BENCH_PLOT_H_
