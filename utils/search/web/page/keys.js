// The keyboard: moving through the results, playing, and back to the query.

const STEP = 5; // seconds

export function listen({ query, results, player, dragging, desk }) {
  const rows = () => [...results.children];
  const current = () => document.activeElement.closest('.hit');

  function move(by) {
    const all = rows();
    const from = all.indexOf(current());
    const to = from < 0 ? (by > 0 ? 0 : -1) : from + by;
    if (to < 0) query.focus();
    else if (all[to]) {
      all[to].focus({ preventScroll: true });
      all[to].scrollIntoView({ block: 'nearest' });
    }
  }

  // What Space plays: the focused sound, else the last one played, else the best.
  function chosen() {
    const row = current() || rows().find((one) => one.track === player.track) || rows()[0];
    return row && row.track;
  }

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    const slider = target.type === 'range';
    const checkbox = target.type === 'checkbox';
    const typing = !slider && !checkbox && target.matches('input, select, textarea');
    const pressing = checkbox || target.matches('button, a, summary');
    const row = current();
    const actions = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      j: () => move(1),
      k: () => move(-1),
      '/': () => query.select(),
      ArrowLeft: () => player.skip(-STEP),
      ArrowRight: () => player.skip(STEP),
      ' ': () => chosen() && player.toggle(chosen()),
      w: () => row && row.querySelector('.why').click(),
      m: () => row && row.querySelector('.like').click(),
      x: () => row && row.querySelector('.tick').click(),
      c: () => row && row.querySelector('.copy-path').click(),
      a: () => desk.focus('#add-to'),
      d: () => document.getElementById('duplicates').click(),
      e: () => desk.focus('#export-as'),
      o: () => desk.openCollections(),
      Delete: () => row && desk.takeOut([row.pick]),
    };
    if (key === 'Escape') {
      dragging(false);
      player.pause();
      desk.leave();
      return;
    }
    if (typing && !(target === query && key === 'ArrowDown')) return;
    if (pressing && key === ' ') return;
    if (!(key in actions)) return;
    event.preventDefault();
    actions[key]();
  });
}
