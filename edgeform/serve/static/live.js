// Says when the server no longer answers: what is on the page is then old, and looks as if it were not.
"use strict";
(function () {
  var since = "";
  function lost() {
    var line = document.getElementById("lost");
    if (line === null || since !== "") { return; }
    since = new Date().toISOString().slice(11, 19) + "Z";
    line.textContent = "No answer since " + since + ". What stands here is older than that.";
    line.hidden = false;
  }
  function found() {
    var line = document.getElementById("lost");
    if (line === null || since === "") { return; }
    since = "";
    line.textContent = "";
    line.hidden = true;
  }
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:responseError", lost);
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) { found(); }
  });
}());
