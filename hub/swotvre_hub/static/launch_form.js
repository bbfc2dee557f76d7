"use strict";
// Offers only the durations that the chosen size allows, says in words what would start, and shows that a click was taken.
(() => {
  const sizes = [...document.querySelectorAll('.vre-launch input[name="size"]')];
  const durations = [...document.querySelectorAll('.vre-launch input[name="walltime_hours"]')];
  const start = document.getElementById("start-session");
  const summary = document.getElementById("launch-summary");
  if (!start) return;
  let wanted = durations.find((duration) => duration.checked);

  const update = () => {
    const size = sizes.find((candidate) => candidate.checked);
    if (!size) return;
    for (const duration of durations) duration.disabled = Number(duration.value) > Number(size.dataset.maxHours);
    const allowed = durations.filter((duration) => !duration.disabled);
    const chosen = wanted && !wanted.disabled ? wanted : allowed[allowed.length - 1];
    if (chosen) chosen.checked = true;
    const words = chosen ? chosen.parentElement.textContent.trim() : "";
    summary.textContent = `${size.dataset.summary}, ${words}`;
  };

  for (const size of sizes) size.addEventListener("change", update);
  for (const duration of durations) {
    duration.addEventListener("change", () => {
      wanted = duration;
      update();
    });
  }
  start.form?.addEventListener("submit", () => {
    start.disabled = true;
    start.textContent = "Starting…";
  });
  // The page may come back from the browser's memory with the button as it was left.
  window.addEventListener("pageshow", () => {
    start.disabled = false;
    start.textContent = "Start session";
    wanted = durations.find((duration) => duration.checked) ?? wanted;
    update();
  });
})();
