// The page: a search goes into the address bar, then to the server; the answer into the list.

import { ask, asParameters, audioAddress, clock, Failure, readAddress } from './api.js';
import { Desk } from './desk.js';
import { Filters } from './filters.js';
import * as keys from './keys.js';
import { Player } from './player.js';
import { drawHits } from './results.js';
import { drawSummary } from './summary.js';
import { watchUpdates } from './updates.js';

const PAGE = 20; // hits
const BEST_FIRST = 'score';
const ITEMS = 100; // of a collection
const byId = (id) => document.getElementById(id);
const query = byId('query');
const results = byId('results');
const player = new Player(byId('player'), { failed: playingFailed, heard: () => byId('alert').dataset.sound && showError() });
const filters = new Filters({ list: byId('filters'), field: byId('tag'), options: byId('tags'), changed: () => go({ ...search, tags: filters.texts, top: undefined }) });
const desk = new Desk({
  opened: (collection) => go({ tags: search.tags, collection }),
  changed: () => show(),
  failed: (error) => showError(error),
});
const recordings = new Map(); // clip => address of the recording, while the page is open
let about;
let search = { tags: [] };
let running = new AbortController();

// A search by a description, by meaning, words or both.
function describing(text) {
  const by = byId('by').value;
  return { q: text, ...(by === 'both' ? {} : { by }), ...listing() };
}

// How hits are listed, which all searches say: their order, and whether near duplicates are shown.
function listing() {
  const sort = byId('sort').value;
  return {
    ...(sort === BEST_FIRST ? {} : { sort }),
    ...(byId('duplicates').checked ? { duplicates: 'show' } : {}),
  };
}

// Start another search: a step in the browser's history.
function go(wanted) {
  const parameters = asParameters(wanted);
  history.pushState(null, '', parameters ? `/?${parameters}` : '/');
  show();
}

// Show the search in the address bar.
async function show() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  search = readAddress();
  query.value = search.q || '';
  byId('by').value = search.by || 'both';
  byId('sort').value = search.sort || BEST_FIRST;
  byId('duplicates').checked = search.duplicates === 'show';
  filters.show(search.tags);
  showError();
  const asks = search.q || search.clip || search.like || search.collection;
  byId('welcome').hidden = Boolean(asks);
  document.title = search.q ? `${search.q} – Sound search` : 'Sound search';
  if (!asks) {
    clear();
    return;
  }
  showExample();
  results.setAttribute('aria-busy', 'true');
  const begun = performance.now();
  try {
    if (search.collection) {
      drawCollection(await ask(`/api/v1/collections/${encodeURIComponent(search.collection)}`, { signal }));
      results.removeAttribute('aria-busy');
      return;
    }
    const { name, ...asked } = search;
    const answer = await ask(`/api/v1/search?${asParameters(asked)}`, { signal });
    draw(answer, performance.now() - begun, signal);
  } catch (error) {
    if (error.name === 'AbortError') return;
    clear();
    showExample();
    showError(error);
  }
  results.removeAttribute('aria-busy');
}

function clear() {
  player.clear();
  results.replaceChildren();
  byId('more').hidden = true;
  byId('status').textContent = '';
  byId('example').hidden = true;
  showNotes();
  desk.show({});
}

// What the server notes about the query.
function showNotes(notes = []) {
  byId('notes').hidden = !notes.length;
  byId('notes').replaceChildren(
    ...notes.map((note) => {
      const item = document.createElement('li');
      item.textContent = note;
      return item;
    }),
  );
}

function drawCollection(collection) {
  const { items } = collection;
  const at = [...results.children].indexOf(document.activeElement.closest('.hit'));
  clear();
  desk.show({ collection });
  const top = Number(search.top || ITEMS);
  drawHits(results, { hits: items.slice(0, top), library: collection.library }, { player, filters, like, moments: null, desk });
  byId('more').hidden = items.length <= top;
  if (at >= 0 && items.length) results.children[Math.min(at, results.children.length - 1)].focus({ preventScroll: true });
  document.title = `${collection.name} – Sound search`;
  byId('status').textContent = items.length === 1 ? '1 item' : `${items.length.toLocaleString('en')} items`;
}

function draw(answer, milliseconds, signal) {
  const { hits } = answer;
  const inside = results.contains(document.activeElement);
  player.clear();
  showExample(answer.like);
  showNotes(answer.notes);
  const moments = about.moments && search.q ? { library: answer.library, text: search.q, signal, player } : null;
  desk.show({ label: search.q });
  drawHits(results, answer, { player, filters, like, moments, desk });
  if (inside && hits.length) results.firstElementChild.focus({ preventScroll: true });
  const found = hits.length === 1 ? '1 sound' : `${hits.length} sounds`;
  const filtered = search.tags.length ? 'No sound passes these filters.' : 'Nothing was found.';
  byId('status').textContent = hits.length ? `${found}, ${byId('sort').selectedOptions[0]?.text ?? search.sort} · ${Math.round(milliseconds)} ms` : filtered;
  byId('status').classList.toggle('empty', !hits.length);
  const top = Number(search.top || PAGE);
  byId('more').hidden = hits.length < top || top >= about.limits.top;
}

// Show what went wrong, perhaps with playing a sound, or hide the last error.
function showError(error, sound = '') {
  const box = byId('alert');
  box.hidden = !error;
  box.dataset.sound = sound;
  box.querySelector('p').textContent = error ? error.message : '';
  box.classList.toggle('pointing', Boolean(error) && error.message.includes('\n')); // at a place in the query
  box.querySelector('button').hidden = !error || ![0, 409, 503].includes(error.status);
}

function playingFailed(error, { name }) {
  const text = error.message.includes(name) ? error.message : `${name}: ${error.message}`;
  showError(new Failure(text, error.status), name);
}

function like(hit, library) {
  const start = hit.is_part ? String(hit.start) : undefined;
  go({ like: String(hit.sound), start, library, tags: search.tags, ...listing() });
  scrollTo({ top: 0 });
}

// The sound that is searched by; it can be played if this page still has it.
function showExample(sound) {
  const box = byId('example');
  const button = box.querySelector('.play');
  const address = search.clip ? recordings.get(search.clip) : audioAddress(search.library, search.like);
  box.hidden = !(search.clip || search.like);
  if (box.hidden) return;
  const name = (sound && sound.name) || search.name || 'a recording';
  box.querySelector('.name').textContent = name;
  box.querySelector('.time').textContent = sound ? clock(sound.duration) : '';
  button.hidden = !address;
  const show = (state) => {
    const playing = Boolean(state && state.playing);
    button.setAttribute('aria-pressed', String(playing));
    button.setAttribute('aria-label', `${playing ? 'Pause' : 'Play'} ${name}`);
  };
  show(null);
  const fallback = search.clip ? null : audioAddress(search.library, search.like, { decoded: true });
  const track = { name, address, fallback, start: Number(search.start || 0), duration: Infinity, show };
  button.onclick = () => player.toggle(track);
}

async function searchByRecording(file) {
  const { clip_bytes: most } = about.limits;
  byId('welcome').hidden = true;
  try {
    if (file.size > most) throw new Failure(`${file.name} is larger than ${most / 1e6} MB. Cut out the part that matters.`, 413);
    showError();
    byId('status').textContent = `Analysing ${file.name} …`;
    const { clip } = await ask('/api/v1/clips', { method: 'POST', body: file, headers: { 'Content-Type': 'application/octet-stream' } });
    recordings.set(clip, URL.createObjectURL(file));
    go({ clip, name: file.name, tags: search.tags, ...listing() });
  } catch (error) {
    clear();
    showError(error);
  }
}

function dragging(on) {
  byId('drop').hidden = !on;
}

function connect() {
  byId('search').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = query.value.trim();
    const { length } = [...text];
    const { query: most } = about.limits;
    if (length > most) showError(new Failure(`The query has ${length} characters, more than ${most}. Shorten it.`, 400));
    else if (text) go({ ...describing(text), tags: filters.texts });
  });
  byId('by').addEventListener('change', () => search.q && go({ ...describing(search.q), tags: search.tags }));
  for (const id of ['sort', 'duplicates']) {
    byId(id).addEventListener('change', () => {
      const { sort, duplicates } = listing();
      if (search.q || search.clip || search.like) go({ ...search, sort, duplicates });
    });
  }
  byId('file').addEventListener('change', ({ target }) => {
    if (target.files[0]) searchByRecording(target.files[0]);
    target.value = ''; // so that the same file can be chosen again
  });
  byId('more').addEventListener('click', () => {
    const [usual, most] = search.collection ? [ITEMS, Infinity] : [PAGE, about.limits.top];
    go({ ...search, top: String(Math.min(most, 2 * Number(search.top || usual))) });
  });
  byId('example').querySelector('.drop').addEventListener('click', () => go({ tags: search.tags }));
  byId('alert').querySelector('button').addEventListener('click', () => show());
  for (const link of [byId('home'), ...byId('ideas').querySelectorAll('a')]) {
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      history.pushState(null, '', link.href);
      show();
    });
  }
  addEventListener('popstate', show);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    dragging(event.dataTransfer.types.includes('Files'));
  });
  addEventListener('dragleave', (event) => event.relatedTarget || dragging(false));
  addEventListener('drop', (event) => {
    event.preventDefault();
    dragging(false);
    if (event.dataTransfer.files[0]) searchByRecording(event.dataTransfer.files[0]);
  });
  keys.listen({ query, results, player, dragging, desk });
}

function introduce() {
  const { folder, sounds, note } = about;
  byId('library-name').textContent = `${sounds.toLocaleString('en')} sounds in ${folder}`;
  byId('demo').textContent = note;
  byId('demo').hidden = !note;
  filters.tags = about.tags;
  desk.place = about.place;
  byId('copy-key').hidden = !about.place;
  drawSummary(about);
}

async function begin() {
  try {
    about = await ask('/api/v1/library');
  } catch (error) {
    showError(error);
    return;
  }
  introduce();
  connect();
  query.focus();
  show();
  desk.load().catch(showError);
  watchUpdates({ button: byId('update'), state: byId('update-state'), finished: refresh });
}

// After an update: repeat the search if there may be other sounds.
async function refresh() {
  const before = about.version;
  about = await ask('/api/v1/library');
  introduce();
  if (about.version !== before && (search.q || search.clip || search.collection)) show();
}

begin();
