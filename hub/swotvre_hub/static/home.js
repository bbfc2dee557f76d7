"use strict";
// Counts the time that is left, stops and removes sessions, looks again while something changes, and leads to another session.
(() => {
  const sessions = document.getElementById("sessions");
  const another = document.getElementById("another-session");
  const QUICK = 3000;
  const SLOW = 30000;
  const count = (number, unit) => (number ? `${number} ${unit}${number === 1 ? "" : "s"}` : "");

  const showTimes = () => {
    for (const end of sessions.querySelectorAll(".vre-ends-at")) {
      const ends = new Date(end.dateTime);
      const day = ends.toDateString() === new Date().toDateString() ? {} : { weekday: "long" };
      end.textContent = ends.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
      const minutes = Math.max(0, Math.round((ends - Date.now()) / 60000));
      const words = [count(Math.floor(minutes / 60), "hour"), count(minutes % 60, "minute")];
      end.closest("dd").querySelector(".vre-left").textContent = words.filter(Boolean).join(" ") || "less than a minute";
    }
  };

  // Only what changed is taken over, so that what is typed below stays.
  const look = async () => {
    const answer = await fetch(window.location.href).catch(() => null);
    if (!answer?.ok) return;
    if (answer.redirected) {
      window.location.reload();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("sessions");
    if (!fresh) return;
    const panels = (from) => [...from.querySelectorAll(".vre-session")];
    if (panels(fresh).length !== panels(sessions).length) {
      window.location.reload();
      return;
    }
    panels(sessions).forEach((panel, index) => {
      const next = panels(fresh)[index];
      if (panel.dataset.phase !== next.dataset.phase || next.dataset.phase === "starting") panel.replaceWith(next);
    });
    showTimes();
  };

  const lookOn = () => {
    const phases = [...sessions.querySelectorAll("[data-phase]")].map((panel) => panel.dataset.phase);
    const changing = phases.includes("starting") || phases.includes("stopping");
    setTimeout(async () => {
      if (!document.hidden) await look();
      lookOn();
    }, changing ? QUICK : SLOW);
  };

  sessions.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-stop-url]");
    if (!button) return;
    const status = button.closest(".vre-session").querySelector(".vre-session-status");
    const remove = "remove" in button.dataset;
    button.disabled = true;
    status.textContent = button.dataset.doing;
    const headers = { "X-XSRFToken": window.jhdata.xsrf_token, "Content-Type": "application/json" };
    const request = { method: "DELETE", headers, ...(remove ? { body: JSON.stringify({ remove: true }) } : {}) };
    const answer = await fetch(button.dataset.stopUrl, request).catch(() => null);
    // A session that is not there any more is what was wanted.
    if (answer?.ok || answer?.status === 404) {
      window.location.reload();
      return;
    }
    button.disabled = false;
    status.textContent = "That did not work; try again in a moment.";
  });

  another?.addEventListener("submit", (event) => {
    event.preventDefault();
    window.location.assign(another.dataset.spawnUrl + encodeURIComponent(document.getElementById("session-name").value));
  });
  document.getElementById("session-name")?.addEventListener("input", ({ target: field }) => {
    const taken = another.dataset.taken.split(" ").includes(field.value);
    const rule = document.getElementById("session-name-rule").textContent;
    field.setCustomValidity("");
    if (field.value && taken) field.setCustomValidity("You have a session of this name already.");
    else if (field.value && field.validity.patternMismatch) {
      const used = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(field.value);
      field.setCustomValidity(used ? "JupyterLab has pages of this name: choose another one." : `A name has ${rule}`);
    }
  });

  showTimes();
  setInterval(showTimes, 15000);
  lookOn();
})();
