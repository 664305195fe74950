// Calls a method of the server of accounts at `pds`, as `session` if that is given.
export const callOf = (pds) => async (method, body, session) => {
  const answer = await fetch(`${pds}/xrpc/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(session && { authorization: `Bearer ${session}` }) },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${method}: HTTP ${answer.status}: ${await answer.text()}`)
  return answer.json()
}
