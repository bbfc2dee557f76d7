"use strict";
// Counts the time that is left, stops the session, and looks again while it starts or stops.
(() => {
  const page = document.getElementById("home");
  const end = document.getElementById("ends-at");
  const left = document.getElementById("time-left");
  const stop = document.getElementById("stop");
  const status = document.getElementById("session-status");
  const count = (number, unit) => (number ? `${number} ${unit}${number === 1 ? "" : "s"}` : "");

  if (end && left) {
    const ends = new Date(end.dateTime);
    const day = ends.toDateString() === new Date().toDateString() ? {} : { weekday: "long" };
    end.textContent = ends.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
    const update = () => {
      const minutes = Math.max(0, Math.round((ends - Date.now()) / 60000));
      const words = [count(Math.floor(minutes / 60), "hour"), count(minutes % 60, "minute")];
      left.textContent = words.filter(Boolean).join(" ") || "less than a minute";
    };
    update();
    setInterval(update, 15000);
  }

  stop?.addEventListener("click", async () => {
    stop.disabled = true;
    status.textContent = "Stopping…";
    const headers = { "X-XSRFToken": window.jhdata.xsrf_token };
    const answer = await fetch(page.dataset.stopUrl, { method: "DELETE", headers }).catch(() => null);
    if (answer?.ok) {
      window.location.reload();
      return;
    }
    stop.disabled = false;
    status.textContent = "The session could not be stopped; try again in a moment.";
  });

  if (page.dataset.phase === "starting" || page.dataset.phase === "stopping") {
    setTimeout(() => window.location.reload(), 3000);
  }
})();
