// The button that looks for new sounds, and its progress. Searching works meanwhile.

import { ask } from './api.js';

const PAUSE = 400; // milliseconds
const LOOKING = 'Looking for new sounds …';

export async function watchUpdates({ button, state, finished }) {
  const write = (text) => {
    state.textContent = text;
  };

  async function follow() {
    button.disabled = true;
    try {
      let now = await ask('/api/v1/update');
      while (now.running) {
        write(now.what ? `Busy ${now.what}: ${now.done} of ${now.total} ${now.unit}` : LOOKING);
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        now = await ask('/api/v1/update');
      }
      write(now.message || now.error || '');
      await finished();
    } catch (error) {
      write(error.message);
    }
    button.disabled = false;
  }

  button.hidden = false;
  button.addEventListener('click', async () => {
    write(LOOKING);
    try {
      await ask('/api/v1/update', { method: 'POST' });
    } catch (error) {
      if (error.status !== 409) return write(error.message); // 409: already running
    }
    return follow();
  });
  try {
    if ((await ask('/api/v1/update')).running) await follow();
  } catch (error) {
    write(error.message);
  }
}
