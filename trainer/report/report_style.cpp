#include "trainer/report/report_style.hpp"

namespace trainer {

// --c0 to --c5 are told apart by colour-blind eyes and stand out from their ground by 3 to 1 and more.
const char* const kReportStyle = R"css(
:root {
  color-scheme: light;
  --page: #f4f6f8; --card: #ffffff; --ink: #17202a; --soft: #566270; --edge: #d8dee5; --grid: #e6eaef;
  --warn: #8a4b00; --hit: 0 114 178; --miss: 213 94 0;
  --c0: #0067a5; --c1: #c2500a; --c2: #007a5a; --c3: #a23b82; --c4: #7d6608; --c5: #4a4a4a;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --page: #11161c; --card: #1a2129; --ink: #e7ecf1; --soft: #a5b1be; --edge: #333e4a; --grid: #2a343f;
    --warn: #f0b060; --hit: 56 140 210; --miss: 220 110 30;
    --c0: #5ab4f0; --c1: #ff9350; --c2: #35cfa5; --c3: #ee94cc; --c4: #e3cf4a; --c5: #c8c8c8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 74rem; padding: 2rem clamp(.9rem, 3vw, 2.2rem) 3rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--edge); }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { margin: .4rem 0 .8rem; }
header .kind { margin: 0; color: var(--soft); font-weight: 600; font-size: .85rem; }
header .about, .note, footer { color: var(--soft); font-size: .9rem; }
td, th, dd, code, pre { unicode-bidi: isolate; }
code, pre { font-family: ui-monospace, "SF Mono", Consolas, "DejaVu Sans Mono", monospace; font-size: .84rem; }
pre {
  margin: 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--edge); border-radius: .6rem;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.45;
}
.missing {
  padding: .7rem 1rem; border: 1px solid var(--edge); border-left: 4px solid var(--warn); border-radius: .4rem;
  background: var(--card);
}
strong { color: var(--warn); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.tiles div { background: var(--card); border: 1px solid var(--edge); border-radius: .7rem; padding: .8rem 1rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; }
.tiles .value { font-size: 1.55rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles .more { color: var(--soft); font-size: .85rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
figure { margin: 0; }
.plot {
  min-width: 0; background: var(--card); border: 1px solid var(--edge); border-radius: .7rem; padding: .9rem 1rem .7rem;
}
.plot figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .1rem 1rem; margin-bottom: .4rem; }
.plot h3 { margin: 0; }
.plot svg { display: block; width: 100%; height: auto; }
.plot .note { margin: .3rem 0 0; font-size: .82rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; margin: 0; padding: 0; font-size: .88rem; }
svg.swatch { display: inline-block; width: 2.5rem; height: .875rem; vertical-align: -.1em; }
svg text { fill: var(--soft); font-size: 14px; font-family: inherit; font-variant-numeric: tabular-nums; }
svg .letter { fill: var(--ink); font-weight: 700; }
.grid { stroke: var(--grid); fill: none; }
.axis, .whisker { stroke: var(--soft); fill: none; }
.whisker { stroke: var(--ink); stroke-width: 1.5; }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.marker { stroke: var(--card); stroke-width: .8; }
.unseen { fill: transparent; stroke: transparent; stroke-width: 6; }
.bar { opacity: .85; stroke: none; }
.line.c0 { stroke: var(--c0); } .line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); }
.line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); }
.marker.c0, .bar.c0 { fill: var(--c0); } .marker.c1, .bar.c1 { fill: var(--c1); }
.marker.c2, .bar.c2 { fill: var(--c2); } .marker.c3, .bar.c3 { fill: var(--c3); }
.marker.c4, .bar.c4 { fill: var(--c4); } .marker.c5, .bar.c5 { fill: var(--c5); }
.d1 { stroke-dasharray: 8 4; } .d2 { stroke-dasharray: 2 3; } .d3 { stroke-dasharray: 10 3 2 3; }
.d4 { stroke-dasharray: 14 5; }
.scroll { overflow-x: auto; border-radius: .4rem; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.values { width: 100%; background: var(--card); border: 1px solid var(--edge); }
.values th, .values td { text-align: left; vertical-align: top; padding: .32rem .7rem; border-top: 1px solid var(--grid); }
.values tbody th { font-weight: 500; color: var(--soft); width: min(21rem, 38vw); min-width: 7rem; }
.values thead th { border-top: 0; }
.values td { min-width: 5.5rem; }
.values .number { text-align: right; }
.confusion { background: var(--card); border: 1px solid var(--edge); font-size: clamp(.62rem, 2.4vw, .9rem); }
.confusion td, .confusion th { padding: .28em .2em; min-width: 2.35em; text-align: center; overflow-wrap: normal; }
.confusion tbody th { padding: .28em .6em; }
.confusion .none { color: var(--edge); }
.confusion .hit { background: rgb(var(--hit) / calc(.1 + var(--a) * .3)); font-weight: 650; }
.confusion .miss { background: rgb(var(--miss) / calc(.08 + var(--a) * .5)); }
.confusion .sum { color: var(--soft); font-size: .9em; padding-left: .5em; font-weight: 500; }
.pictures, .filters { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(3.9rem, 1fr)); }
.filters { grid-template-columns: repeat(auto-fill, minmax(3rem, 3.4rem)); gap: .45rem; }
.pictures img, .filters img { display: block; width: 100%; image-rendering: pixelated; border-radius: .3rem; }
.pictures img { border: 1px solid var(--edge); background: #000; }
.filters img { border: 1px solid var(--edge); background: #fff; }
.pictures figcaption { text-align: center; font-size: .82rem; line-height: 1.3; padding-top: .2rem; }
.pictures span { display: block; color: var(--soft); font-size: .78rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; padding: .35rem 0; font-weight: 600; }
summary h2 { display: inline; border: 0; font-size: 1.15rem; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--edge); }
@media (max-width: 32rem) { svg text { font-size: 16px; } }
@page { margin: 14mm; }
@media print {
  :root { --page: #ffffff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  figure, tr, li, .tiles div, .missing, .confusion { break-inside: avoid; }
  h1, h2, h3, h3 + p, figcaption { break-after: avoid; }
  .values th, .values td { padding: .12rem .5rem; }
  .scroll { overflow: visible; }
  .plots { grid-template-columns: 1fr 1fr; }
  .pictures { grid-template-columns: repeat(10, 1fr); }
  details::details-content { content-visibility: visible; block-size: auto; }
}
)css";

}  // namespace trainer
