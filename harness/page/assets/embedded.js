start(embedded).catch((error) => {
  document.getElementById("main").textContent = `This page cannot be shown: ${error}. It needs a browser of 2023 or later.`;
});
