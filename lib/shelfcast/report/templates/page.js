(function () {
  "use strict";
  const swaps = JSON.parse(document.getElementById("swaps").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const charts = Array.from(document.querySelectorAll(".chart"));
  const figure = (chart) => {
    const text = chart.querySelector("script").textContent;
    return JSON.parse(dark.matches ? text.replace(/#[0-9a-f]{6}/g, (colour) => swaps[colour] || colour) : text);
  };
  charts.forEach((chart) => {
    const place = document.createElement("div");
    chart.append(place);
    const draw = () => {
      const { data, layout } = figure(chart);
      Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
    };
    draw();
    dark.addEventListener("change", draw);
  });
})();
