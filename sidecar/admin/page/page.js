const source = new EventSource("/events");
source.addEventListener("now", (event) => {
  const { headline } = JSON.parse(event.data);
  document.getElementById("words").textContent = headline.words;
  document.getElementById("detail").textContent = headline.detail;
});
