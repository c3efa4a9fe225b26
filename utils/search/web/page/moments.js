// Where a text is heard in a sound: a curve over its picture, and a button for each moment.

import { ask, clock, soundAddress } from './api.js';

const SVG = 'http://www.w3.org/2000/svg';
const percent = (share) => `${(100 * share).toFixed(2)}%`;

// Ask for the moments of a hit, and draw them into its row. The track begins with the best then.
export async function showMoments(hit, row, { library, text, signal, player }) {
  const middle = String((hit.start + hit.end) / 2);
  const address = soundAddress(library, hit.sound, 'moments', { q: text, at: middle });
  const list = row.querySelector('.moments');
  try {
    const found = await ask(address, { signal });
    if (!found.moments.length) return;
    row.querySelector('.ink').before(...found.moments.map((one) => shade(one, hit)));
    row.querySelector('.ink').after(drawCurve(found, hit));
    list.append(...found.moments.map((one, number) => drawButton(one, number, row, player)));
    row.track.start = found.moments[0].start;
    row.pick.moment = found.moments[0];
  } catch (error) {
    if (error.name === 'AbortError') return;
    const item = document.createElement('li');
    item.textContent = `No moments: ${error.message}`;
    list.append(item);
  }
  list.hidden = false;
}

function shade({ start, end }, { duration }) {
  const box = document.createElement('div');
  box.className = 'moment';
  box.style.left = percent(start / duration);
  box.style.width = percent((end - start) / duration);
  return box;
}

// From the least to the greatest likeness within the sound; a step for each cell.
function drawCurve({ begin, step, curve }, { duration }) {
  const [low, high] = [Math.min(...curve), Math.max(...curve)];
  const height = (value) => 1 - (value - low) / (high - low || 1);
  const svg = document.createElementNS(SVG, 'svg');
  const line = document.createElementNS(SVG, 'polyline');
  const middle = (cell) => Math.min(duration, begin + step * (cell + 0.5));
  svg.setAttribute('class', 'curve');
  svg.setAttribute('viewBox', `0 0 ${duration} 1`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  line.setAttribute('points', curve.map((value, cell) => `${middle(cell)},${height(value)}`).join(' '));
  svg.append(line);
  return svg;
}

function drawButton({ start, end, score }, number, row, player) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  const place = `${clock(start)}–${clock(end)}`;
  button.type = 'button';
  button.className = 'chip';
  button.textContent = place;
  button.title = `Overlap to expect: ${score.toFixed(2)}`;
  button.setAttribute('aria-label', `Play moment ${number + 1} of ${row.track.name}: ${place}`);
  button.addEventListener('click', () => player.seek(row.track, start));
  item.append(button);
  return item;
}
