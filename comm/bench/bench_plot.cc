#include "comm/bench/bench_plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace lockstep::comm {
namespace {

// Pixels.
constexpr double kWidth = 900, kHeight = 540, kLeft = 74, kRight = 706, kTop = 72, kBottom = 474;

// Colours that people who see fewer colours can tell apart too (M. Okabe, K. Ito, "Color Universal Design",
// 2008).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000"};
constexpr char kBoundColour[] = "#777777";

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// One logarithmic axis: values from `low` to `high` onto pixels from `begin` to `end`.
struct Axis {
  double low, high, begin, end;
  double At(double value) const {
    return begin + (end - begin) * std::log(value / low) / std::log(high / low);
  }
};

std::string BytesText(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  return absl::StrFormat("%g %s", bytes, units[unit]);
}

std::string Text(double x, double y, const std::string& attributes, const std::string& text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes, Escaped(text));
}

std::string Rule(double x1, double y1, double x2, double y2, const char* colour) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1,
                         x2, y2, colour);
}

// At most about ten marks, at powers of two.
std::string SizeMarks(const Axis& x) {
  const int first = static_cast<int>(std::ceil(std::log2(x.low) - 1e-9));
  const int last = static_cast<int>(std::floor(std::log2(x.high) + 1e-9));
  const int step = std::max(1, static_cast<int>(std::ceil((last - first) / 10.0)));
  std::string svg;
  for (int power = first; power <= last; power += step) {
    const double at = x.At(std::exp2(power));
    svg += Rule(at, kTop, at, kBottom, "#e6e6e6");
    svg += Text(at, kBottom + 18, "text-anchor=\"middle\"", BytesText(std::exp2(power)));
  }
  return svg;
}

// At 1, 2 and 5 times the powers of ten.
std::string SpeedMarks(const Axis& y) {
  std::string svg;
  for (int power = static_cast<int>(std::floor(std::log10(y.low))); std::pow(10, power) <= y.high; ++power) {
    for (const int digit : {1, 2, 5}) {
      const double value = digit * std::pow(10, power);
      if (value < y.low * 0.999 || value > y.high * 1.001) continue;
      svg += Rule(kLeft, y.At(value), kRight, y.At(value), digit == 1 ? "#c8c8c8" : "#ececec");
      svg += Text(kLeft - 8, y.At(value) + 4, "text-anchor=\"end\"", absl::StrFormat("%g", value));
    }
  }
  return svg;
}

std::string Curve(const PlotLine& line, const std::string& colour, const Axis& x, const Axis& y) {
  std::string path, dots;
  for (const auto& [bytes, speed] : line.points) {
    if (!(bytes > 0) || !(speed > 0)) continue;
    const std::string at = absl::StrFormat("%.1f,%.1f", x.At(bytes), y.At(speed));
    absl::StrAppend(&path, path.empty() ? "" : " ", at);
    if (!line.bound) {
      absl::StrAppendFormat(
          &dots, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s</title></circle>\n",
          x.At(bytes), y.At(speed), colour,
          Escaped(absl::StrFormat("%s, %s: %.3g GB/s", line.name, BytesText(bytes), speed)));
    }
  }
  return absl::StrCat("<polyline points=\"", path, "\" fill=\"none\" stroke=\"", colour,
                      "\" stroke-width=\"2\"", line.bound ? " stroke-dasharray=\"7 5\"" : "", "/>\n", dots);
}

// The least and greatest of a coordinate, apart from each other.
void Widen(double& low, double& high, double factor) {
  if (!(low > 0) || !(high >= low)) low = high = 1;
  if (high < low * factor) {
    low /= std::sqrt(factor);
    high *= std::sqrt(factor);
  }
}

}  // namespace

std::string SvgOf(const Plot& plot) {
  double x_low = 1e300, x_high = 0, y_low = 1e300, y_high = 0;
  for (const PlotLine& line : plot.lines) {
    for (const auto& [bytes, speed] : line.points) {
      if (!(bytes > 0) || !(speed > 0)) continue;
      x_low = std::min(x_low, bytes), x_high = std::max(x_high, bytes);
      y_low = std::min(y_low, speed), y_high = std::max(y_high, speed);
    }
  }
  Widen(x_low, x_high, 4);
  Widen(y_low, y_high, 4);
  const Axis x{x_low, x_high, kLeft + 10, kRight - 10};
  const Axis y{y_low / 1.2, y_high * 1.2, kBottom, kTop};

  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight, kWidth, kHeight);
  svg += Text(kLeft, 30, "font-size=\"17\" font-weight=\"bold\"", plot.title);
  svg += Text(kLeft, 51, "fill=\"#555555\"", plot.subtitle);
  svg += SizeMarks(x) + SpeedMarks(y);
  svg += Rule(kLeft, kBottom, kRight, kBottom, "#444444") + Rule(kLeft, kTop, kLeft, kBottom, "#444444");
  svg += Text((kLeft + kRight) / 2, kBottom + 42, "text-anchor=\"middle\"", "size (bytes of a rank)");
  svg += absl::StrFormat(
      "<text transform=\"translate(22 %.1f) rotate(-90)\" text-anchor=\"middle\">algbw (GB/s, 1e9 "
      "bytes)</text>\n",
      (kTop + kBottom) / 2);

  std::string legend;
  double legend_y = kTop + 10;
  size_t colour = 0;
  for (const bool bound : {true, false}) {  // the bound behind the rest
    for (const PlotLine& line : plot.lines) {
      if (line.bound != bound) continue;
      const std::string stroke = bound ? kBoundColour : kColours[colour++ % std::size(kColours)];
      svg += Curve(line, stroke, x, y);
      legend += absl::StrFormat(
          "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"%s/>\n",
          kRight + 18, legend_y - 4, kRight + 46, legend_y - 4, stroke,
          bound ? " stroke-dasharray=\"7 5\"" : "");
      legend += Text(kRight + 54, legend_y, "", line.name);
      legend_y += 20;
    }
  }
  return absl::StrCat(svg, legend, "</svg>\n");
}

}  // namespace lockstep::comm
