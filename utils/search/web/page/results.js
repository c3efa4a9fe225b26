// The list of results. Names from the library are set as text, never parsed as HTML.

import { audioAddress, clock, soundAddress, wasBusy } from './api.js';
import { showMoments } from './moments.js';

const template = document.getElementById('hit');
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const level = (lufs) => (typeof lufs === 'number' ? `${lufs.toFixed(1).replace('-', '−')} LUFS` : '');
const signed = (number) => `${number < 0 ? '−' : '+'}${Math.abs(number).toFixed(3)}`;

// Pictures and moments are requested when they come near the window.
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      target.come();
      const picture = new Image();
      picture.onload = () => {
        target.style.maskImage = `url("${picture.src}")`;
        target.classList.add('drawn');
      };
      picture.onerror = () => drawLater(picture, target);
      picture.src = target.dataset.picture;
    }
  },
  { rootMargin: '300px' },
);

// A picture did not load, perhaps because the server was busy.
async function drawLater(picture, target) {
  picture.onerror = () => target.classList.add('missing');
  try {
    await wasBusy(picture.src);
    picture.src = target.dataset.picture;
  } catch {
    picture.onerror();
  }
}

// Rows act through `page`: {player, filters, like, moments, desk}; `moments` is null, or what
// `showMoments` needs. Items of a collection are hits with less to show, and may be missing.
export function drawHits(list, answer, page) {
  near.disconnect();
  list.replaceChildren(...answer.hits.map((hit) => drawHit(hit, answer.library, page)));
}

function drawHit(hit, library, page) {
  const row = template.content.firstElementChild.cloneNode(true);
  const at = (selector) => row.querySelector(selector);
  const [path] = hit.paths;
  const cut = path.lastIndexOf('/') + 1;

  at('.rank').textContent = hit.rank;
  at('.folder').textContent = path.slice(0, cut);
  at('.file').append(...breakable(path.slice(cut)));
  at('.loudness').textContent = level(hit.loudness);
  at('.score').textContent = hit.score === null || isSelected(hit) ? '' : hit.score.toFixed(3);
  row.track = track(hit, library, path, row);
  page.desk.take(hit, library, row);
  drag(row, library, hit, path.slice(cut));
  row.classList.toggle('gone', Boolean(hit.missing));
  at('.play').addEventListener('click', () => page.player.toggle(row.track));
  at('[type=range]').addEventListener('input', (event) => page.player.seek(row.track, Number(event.target.value)));

  const ink = at('.ink');
  ink.dataset.picture = soundAddress(library, hit.sound, 'spectrogram.png');
  ink.come = () => page.moments && showMoments(hit, row, page.moments);
  if (!hit.missing) near.observe(ink);
  if (hit.is_part) {
    at('.passage').hidden = false;
    at('.passage').style.left = percent(hit.start / hit.duration);
    at('.passage').style.width = percent((hit.end - hit.start) / hit.duration);
  }

  at('.chips').append(...(hit.tags || []).map((tag) => drawChip(tag, page)));
  drawCopies(hit, row);
  const remark = hit.missing ? 'No file of the folder has this sound any more.' : hit.notes || hit.label;
  at('.remarks').hidden = !remark;
  at('.remarks').textContent = remark;
  at('.why').hidden = !hit.reasons;
  at('.like').hidden = Boolean(hit.missing);
  at('.why').addEventListener('click', () => {
    if (!at('.reasons tbody').children.length) drawReasons(hit, row);
    open(at('.why'), at('.reasons'));
  });
  at('.like').addEventListener('click', () => page.like(hit, library));
  return row;
}

// A name that may be broken after its marks, so that a narrow line does not break its words.
function breakable(name) {
  const [first, ...others] = name.split(/(?<=[-_.])(?=[^-_.])/);
  return [first, ...others.flatMap((part) => [document.createElement('wbr'), part])];
}

// Whether a hit has no score, because the query describes nothing: `folder:foley` selects.
function isSelected({ projection, tag_branch: tags, words }) {
  return projection === 0 && tags === 0 && !words;
}

// Chromium drops the file itself where the name is dragged to; others, its address.
function drag(row, library, hit, name) {
  const handle = row.querySelector('h2');
  handle.draggable = !hit.missing;
  handle.addEventListener('dragstart', ({ dataTransfer }) => {
    const address = new URL(soundAddress(library, hit.sound, 'file'), location.href).href;
    const plain = name.replace(/[\n\r:]/g, '_'); // colons end the parts of a DownloadURL
    dataTransfer.effectAllowed = 'copy';
    dataTransfer.setData('DownloadURL', `application/octet-stream:${plain}:${address}`);
    dataTransfer.setData('text/uri-list', address);
  });
}

function open(button, part) {
  part.hidden = !part.hidden;
  button.setAttribute('aria-expanded', String(!part.hidden));
}

function track(hit, library, path, row) {
  const at = (selector) => row.querySelector(selector);
  const slider = at('[type=range]');
  const whole = clock(hit.duration);
  const precision = { tenths: hit.item !== undefined }; // moments are short
  const idle = hit.is_part
    ? `${clock(hit.start, precision)}–${clock(hit.end, precision)} of ${clock(hit.duration, precision)}`
    : whole;
  slider.max = hit.duration;
  slider.setAttribute('aria-label', `Position in ${path}`);
  const show = (state) => {
    const playing = Boolean(state && state.playing);
    const time = state ? state.time : 0;
    row.classList.toggle('current', state !== null);
    at('.play').setAttribute('aria-pressed', String(playing));
    at('.play').setAttribute('aria-label', `${playing ? 'Pause' : 'Play'} ${path}`);
    slider.value = time;
    slider.setAttribute('aria-valuetext', `${clock(time)} of ${whole}`);
    at('.picture').style.setProperty('--played', percent(time / hit.duration));
    at('.time').textContent = state ? `${clock(time)} / ${whole}` : idle;
  };
  show(null);
  return {
    name: path,
    address: audioAddress(library, hit.sound),
    fallback: audioAddress(library, hit.sound, { decoded: true }),
    start: hit.is_part ? hit.start : 0,
    duration: hit.duration,
    show,
  };
}

function drawChip({ tag, probability }, page) {
  const item = document.createElement('li');
  const chip = document.createElement('button');
  const likely = document.createElement('span');
  chip.type = 'button';
  chip.className = 'chip';
  chip.setAttribute('aria-pressed', String(page.filters.has(tag)));
  chip.title = `${tag}: probability ${probability.toFixed(2)}. Click to filter by this tag`;
  likely.textContent = probability.toFixed(2);
  chip.append(tag, likely);
  chip.addEventListener('click', () => page.filters.toggle(tag));
  item.append(chip);
  return item;
}

function drawCopies(hit, row) {
  const copies = hit.paths.slice(1);
  const near = hit.duplicates || []; // items of a collection have none
  if (!copies.length && !near.length) return;
  const button = row.querySelector('.copies');
  const list = row.querySelector('.paths');
  button.hidden = false;
  const counts = [
    [copies.length, copies.length === 1 ? 'copy' : 'copies'],
    [near.length, near.length === 1 ? 'near duplicate' : 'near duplicates'],
  ];
  button.textContent = counts.filter(([count]) => count).map((words) => words.join(' ')).join(', ');
  button.addEventListener('click', () => open(button, list));
  list.append(
    ...[...copies, ...near].map((path) => {
      const item = document.createElement('li');
      const name = document.createElement('bdi');
      name.textContent = path;
      item.append(name);
      return item;
    }),
  );
}

function drawReasons(hit, row) {
  const at = (selector) => row.querySelector(selector);
  const whole = Math.max(0, hit.projection) + Math.max(0, hit.tag_branch) || 1;
  at('.learned').style.width = percent(Math.max(0, hit.projection) / whole);
  at('.tagged').style.width = percent(Math.max(0, hit.tag_branch) / whole);
  const part = (name, value, text) => {
    const number = document.createElement('strong');
    number.className = name;
    number.textContent = value;
    return [number, ` ${text}`];
  };
  at('.bar').hidden = at('.sum').hidden = isSelected(hit);
  at('.sum').append(
    ...part('learned', hit.projection.toFixed(3), 'from the learned projection'),
    ', ',
    ...part('tagged', signed(hit.tag_branch), 'from the tags'),
    ...(hit.words ? [', ', ...part('worded', signed(hit.words), 'from words and what is left out')] : []),
  );
  at('.category').hidden = !hit.ucs;
  if (hit.ucs) {
    const { category, subcategory, cat_id: id, probability } = hit.ucs;
    const sure = probability < 1 ? ` (suggested by the tags, ${probability.toFixed(2)})` : '';
    at('.category').textContent = `UCS category: ${category} / ${subcategory}, ${id}${sure}`;
  }
  const most = Math.max(...hit.reasons.map((reason) => Math.abs(reason.contribution)), 1e-9);
  at('.reasons table').hidden = isSelected(hit) || !hit.reasons.length;
  at('.reasons tbody').append(
    ...hit.reasons.map((reason) => {
      const line = document.createElement('tr');
      const cells = [reason.tag, reason.probability.toFixed(2), signed(reason.contribution), ''];
      for (const text of cells) line.insertCell().textContent = text;
      const bar = document.createElement('span');
      bar.style.width = percent(Math.abs(reason.contribution) / most);
      line.lastElementChild.append(bar);
      return line;
    }),
  );
}
