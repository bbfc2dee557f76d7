"use strict";
// Shows the password on demand, says that a click was taken, and warns of a connection that is not encrypted.
(() => {
  const password = document.getElementById("password_input");
  const toggle = document.getElementById("toggle_password_visibility");
  const submit = document.getElementById("login_submit");

  if (!window.isSecureContext) document.getElementById("insecure-login-warning")?.classList.remove("hidden");

  toggle?.addEventListener("click", () => {
    const show = password.type === "password";
    password.type = show ? "text" : "password";
    toggle.setAttribute("aria-pressed", String(show));
    toggle.firstElementChild.className = show ? "fa fa-eye-slash" : "fa fa-eye";
  });

  submit?.form?.addEventListener("submit", () => {
    submit.disabled = true;
    submit.textContent = "Logging in…";
  });
  // The page may come back from the browser's memory with the button as it was left.
  window.addEventListener("pageshow", () => {
    if (!submit) return;
    submit.disabled = false;
    submit.textContent = "Log in";
  });
})();
