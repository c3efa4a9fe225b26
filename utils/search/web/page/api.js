// Requests to the server, and the address bar, which holds the search.

export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const TRIES = 8; // while the server is busy

async function request(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure('The server does not answer. Is it still running?', 0);
  }
}

// Ask until the server is not busy; returns the answer, and how often it had to be asked.
async function patiently(path, options) {
  for (let tries = 1; ; tries += 1) {
    const response = await request(path, options);
    const pause = response.headers.get('Retry-After'); // in seconds
    if (pause && tries < TRIES) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause * (0.5 + Math.random())));
      continue;
    }
    const content = await response.json().catch(() => ({}));
    if (response.ok) return { content, tries };
    throw new Failure(content.error || `The server answered with ${response.status}.`, response.status);
  }
}

export async function ask(path, options = {}) {
  return (await patiently(path, options)).content;
}

// Send an object; returns the answer's.
export function send(path, method, content = {}) {
  return ask(path, { method, body: JSON.stringify(content), headers: { 'Content-Type': 'application/json' } });
}

// Send an object, and keep the answer as a file; returns the answer's headers.
export async function download(path, content) {
  const response = await request(path, { method: 'POST', body: JSON.stringify(content), headers: { 'Content-Type': 'application/json' } });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    throw new Failure(error || `The server answered with ${response.status}.`, response.status);
  }
  const [, name] = response.headers.get('Content-Disposition').split("utf-8''");
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await response.blob());
  link.download = decodeURIComponent(name);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once it is kept
  return response.headers;
}

// Elements do not say why they could not load something. Wait until the server can send it, and
// return whether it was busy; a Failure if it cannot.
export async function wasBusy(address) {
  const { tries } = await patiently(address, { headers: { Range: 'bytes=0-0' } });
  return tries > 1;
}

// A search: {q, by | clip, name | like, start, library | collection} and tags, sort, duplicates, top;
// all are strings.
const SINGLE = ['q', 'by', 'sort', 'duplicates', 'clip', 'name', 'like', 'start', 'library', 'top', 'collection'];

export function readAddress() {
  const given = new URLSearchParams(location.search);
  const search = { tags: given.getAll('tag') };
  for (const key of SINGLE) if (given.has(key)) search[key] = given.get(key);
  return search;
}

export function asParameters(search) {
  const parameters = new URLSearchParams();
  for (const key of SINGLE) if (search[key] !== undefined) parameters.set(key, search[key]);
  for (const tag of search.tags) parameters.append('tag', tag);
  return parameters.toString();
}

// The address of something of a sound: its audio, file, spectrogram.png or moments.
export function soundAddress(library, sound, what, parameters = {}) {
  return `/api/v1/sounds/${sound}/${what}?${new URLSearchParams({ library, ...parameters })}`;
}

export function audioAddress(library, sound, { decoded = false } = {}) {
  return soundAddress(library, sound, 'audio', decoded ? { decode: 'true' } : {});
}

export function clock(seconds, { tenths = true } = {}) {
  const count = tenths ? Math.round(10 * seconds) : 10 * Math.floor(seconds);
  const whole = Math.floor(count / 10);
  const two = (number) => String(number).padStart(2, '0');
  if (whole >= 3600) return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 60)}:${two(whole % 60)}${tenths ? `.${count % 10}` : ''}`;
}
