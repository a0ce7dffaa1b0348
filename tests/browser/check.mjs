// Draws every journal's page in Chromium and asks it what a reader would see.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { readFileSync, readdirSync, statSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [, , dir, flag] = process.argv;
const requests = [];
const server = createServer((request, response) => {
  requests.push(request.url);
  const name = decodeURIComponent(request.url.slice(1));
  if (!/^[\w-]+\.(html|svg)$/.test(name)) return response.writeHead(404).end();
  const type = name.endsWith('svg') ? 'image/svg+xml' : 'text/html; charset=utf-8';
  response.writeHead(200, { 'content-type': type }).end(readFileSync(join(dir, name)));
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const base = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--disable-lcd-text', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
});
let checks = 0;
const ok = (value, message) => { checks++; assert.ok(value, message); };
const same = (a, b, message) => { checks++; assert.deepEqual(a, b, message); };

async function open(name, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1240, height: 800 }, ...options });
  page.said = [];
  page.on('console', m => page.said.push(`${m.type()}: ${m.text()}`));
  page.on('pageerror', e => page.said.push(`error: ${e.message}`));
  page.on('dialog', d => { page.said.push(`dialog: ${d.message()}`); d.dismiss(); });
  requests.length = 0;
  await page.goto(base + name);
  return page;
}
// A page learns of its new width in the next frame: until it was drawn, nobody has seen the lanes fitted to it.
async function resize(page, width) {
  await page.setViewportSize({ width, height: 800 });
  await page.evaluate(() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  same(await page.evaluate(() => innerWidth), width, 'the width that was asked for');
}
const overflow = page => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
const current = page => page.evaluate(() => document.querySelector('a.r[aria-current]')?.dataset.i);
const card = page => page.evaluate(() =>
  [...document.querySelectorAll('.cards article')].filter(a => a.getClientRects().length).map(a => a.id));

function duration(before, after) { return before === null || after === null ? null : after - before; }

async function table(page, json, name) {
  const lines = await page.evaluate(() => [...document.querySelectorAll('tbody tr[data-i]')].map(tr => {
    const cells = [...tr.children], ns = c => { const d = c.querySelector('data'); return d ? Number(d.value) : null; };
    const text = cells.map(c => c.textContent);
    return { i: Number(tr.dataset.i), phase: text[0], groups: text[1], kind: text[2], state: text[3], began: ns(cells[4]),
      ended: ns(cells[5]), took: ns(cells[6]), process: text[7], before: text[8], after: text[9], said: text[10] };
  }));
  same(lines.map(l => l.i).sort((a, b) => a - b), json.spans.map((_, i) => i), `${name}: a line for every phase`);
  const escaped = s => s.replace(/[\p{Cc}\u202e]/gu, c => c === '\n' ? '\\n' : `\\u{${c.codePointAt(0).toString(16)}}`);
  for (const l of lines) {
    const s = json.spans[l.i];
    const pids = s.pid_start === null ? '' : s.pid_end !== null && s.pid_end !== s.pid_start
      ? `${s.pid_start} → ${s.pid_end}` : String(s.pid_start);
    same([l.phase, l.groups, l.kind, l.state, l.began, l.ended, l.took, l.process],
      [escaped(s.phase), s.groups.join(' › '), s.kind, s.state, s.start_ns, s.end_ns, duration(s.start_ns, s.end_ns), pids],
      `${name}: line of ${s.phase}`);
    for (const [cell, who] of [[l.before, s.identity_before], [l.after, s.identity_after]]) {
      if (who === null) { same(cell, ''); continue; }
      ok(cell.includes(`${who.uid[0]}`) && cell.endsWith(who.umask) && cell.includes(who.cwd), `${name}: ${cell}`);
    }
    if (s.error) for (const part of [s.error.message, s.error.why, s.error.help])
      if (part) ok(l.said.includes(escaped(part)), `${name}: ${l.said} says ${part}`);
  }
}

// Contrast as it is really painted: every text of the page outside the drawing against what lies under it.
const contrast = page => page.evaluate(() => {
  const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const f = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = e => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length && c[3] !== 0) return c; }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('main *')) {
    if (e.closest('svg') || !e.getClientRects().length) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.textContent.slice(0, 40)];
  }
  return worst;
});

// No two texts of the drawing on one another, none outside it.
const collisions = page => page.evaluate(() => {
  const plot = document.querySelector('.plot').getBoundingClientRect(), found = [];
  const texts = [...document.querySelectorAll('.plot text')].filter(t => t.getClientRects().length)
    .map(t => [t, t.closest('svg.lane') ? t.closest('svg.lane').getBoundingClientRect() : t.getBoundingClientRect()])
    .filter(([, b]) => b.width);
  for (const [t, b] of texts) if (b.left < plot.left - 1 || b.right > plot.right + 2) found.push(`outside: ${t.textContent}`);
  for (let i = 0; i < texts.length; i++) for (let k = i + 1; k < texts.length; k++) {
    const [a, b] = [texts[i][1], texts[k][1]];
    if (texts[i][0].closest('svg.lane') || texts[k][0].closest('svg.lane')) continue;
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
      found.push(`${texts[i][0].textContent} / ${texts[k][0].textContent}`);
  }
  return found;
});

const runs = readdirSync(dir).filter(f => f.endsWith('.json')).map(f => f.slice(0, -5));
ok(runs.includes('drop') && runs.includes('failed') && runs.length >= 8, `runs: ${runs}`);
for (const name of runs) {
  const json = JSON.parse(readFileSync(join(dir, name + '.json')));
  const page = await open(name + '.html');
  ok(name === 'hostile' || !json.problems.length, `${name}: a sound journal: ${json.problems}`);
  same(requests, [`/${name}.html`], `${name}: one request`);
  same(page.said, [], `${name}: nothing on the console`);
  ok(await page.title() !== '1', `${name}: no script of the run was run`);
  await table(page, json, name);
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    const [ratio, text] = await contrast(page);
    ok(ratio >= 4.5, `${name}, ${theme}: contrast ${ratio.toFixed(2)} of ${text}`);
  }
  for (const width of [1240, 1000, 700, 420]) {
    await resize(page, width);
    ok(await overflow(page) <= 0, `${name}: ${width} px wide without overflow`);
    if (width >= 700) for (const key of ['s', 's', 's']) {
      same(await collisions(page), [], `${name}: texts at ${width} px, ${await page.getAttribute('.chart', 'data-scale')}`);
      await page.keyboard.press(key);
    }
  }
  await page.close();

  const bare = await open(name + '.html', { javaScriptEnabled: false });
  same(bare.said, [], `${name}: nothing on the console without a script`);
  ok(await bare.locator('.plot .bar').count() > 0 && !(await bare.locator('.tools').isVisible()), `${name}: drawn without a script`);
  const seen = await bare.locator('.cards article:visible').count();
  same(seen, 1, `${name}: one card without a script`);
  await bare.locator('a.r').last().click();
  same(await bare.locator('.cards article:visible').count(), 1, `${name}: a link shows its card without a script`);
  await bare.close();

  const svg = await browser.newPage();
  await svg.setContent(`<img src="${base}${name}.svg">`);
  ok(await svg.evaluate(() => document.images[0].decode().then(() => document.images[0].naturalWidth > 500)), `${name}: SVG`);
  await svg.close();
}

// The policy is in force: what is not the page's own is refused.
{
  const page = await open('drop.html');
  const refused = await page.evaluate(async () => {
    const seen = [];
    document.addEventListener('securitypolicyviolation', e => seen.push(e.effectiveDirective));
    const script = document.createElement('script');
    script.textContent = 'window.leaked = true';
    document.body.append(script);
    const style = document.createElement('style');
    style.textContent = 'body { display: none }';
    document.body.append(style);
    await fetch('/x').catch(() => {});
    new Image().src = '/y.png';
    await new Promise(done => setTimeout(done, 200));
    return [window.leaked === undefined, getComputedStyle(document.body).display, [...new Set(seen)].sort()];
  });
  same(refused, [true, 'block', ['connect-src', 'img-src', 'script-src-elem', 'style-src-elem']], 'policy');
  same(requests, ['/drop.html'], 'still one request');
  await page.close();
}

// By keyboard alone.
{
  const page = await open('drop.html');
  const key = k => page.keyboard.press(k);
  const failed = await current(page);
  ok(await page.locator(`#c${failed}.bad`).isVisible(), 'the failed phase is chosen first');
  await key('Home');
  const order = [await current(page)];
  for (let i = 0; i < 12; i++) { await key('ArrowDown'); order.push(await current(page)); }
  same(order, [...Array(13).keys()].map(String), 'down through every phase');
  same(await card(page), ['c12'], 'its card');
  await key('ArrowUp');
  same(await current(page), '11');
  same(await page.evaluate(() => document.activeElement.dataset.i), '11', 'the focus goes along');
  same(await page.evaluate(() => document.querySelectorAll('a.r[tabindex="0"]').length), 1, 'one tab stop');
  await key('Enter');
  same(await page.evaluate(() => document.activeElement.id), 'c11', 'Enter goes to the card');
  await key('Escape');
  same(await page.evaluate(() => document.activeElement.dataset.i), '11', 'Escape goes back');
  const width = () => page.evaluate(() => document.querySelector('.plot').getBoundingClientRect().width);
  const fit = await width();
  await key('+'); await key('+');
  ok(Math.abs(await width() - 4 * fit) < 2, 'zoomed');
  ok(await overflow(page) <= 0, 'zoom stays in its frame');
  await key('0');
  same(await width(), fit, 'fits again');
  const scales = [];
  for (let i = 0; i < 3; i++) { await key('s'); scales.push(await page.getAttribute('.chart', 'data-scale')); }
  same(scales, ['steps', 'time', 'balanced'], 'scales');
  await key('c');
  ok(await page.locator('a.r.away').count() > 5, 'only the critical path');
  await key('c');
  await key('/');
  await page.keyboard.type('chroot');
  await page.waitForFunction(() => document.querySelector('.found').textContent);
  same(await page.locator('.found').textContent(), '1 of 13', 'filter');
  await key('Escape');
  same(await page.locator('a.r.away').count(), 0, 'filter is gone');
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await paper();
  await key('t');
  ok(await paper() !== before, 'theme');
  await page.locator('.plot .phase').nth(3).click();
  same(await current(page), await page.locator('.plot .phase').nth(3).getAttribute('data-i'), 'a bar can be clicked');
  same(page.said, [], 'nothing on the console');
  const tree = await page.locator('main').ariaSnapshot();
  for (const part of ['heading "twistd"', 'navigation "Phases in order"', 'region "Timeline"', 'img', 'toolbar "View"'])
    ok(tree.includes(part), `for a screen reader: ${part}\n${tree}`);
  await page.close();
}

// What is folded can be opened, walked through and found; the page holds no more than is in sight.
{
  const page = await open('large-100000.html');
  const n = 100000, drawn = () => page.locator('.d').count();
  same(await drawn(), 0, 'nothing of it before it is asked for');
  const folds = await page.locator('.more').count();
  ok(folds === 4, `rows for what is folded: ${folds}`);
  const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
  ok(nodes < 20000, `${nodes} elements`);
  const began = Date.now();
  await page.locator('.more').first().click();
  await page.waitForSelector('.d');
  console.log(`${n} phases: a fold of ${(await page.locator('.deep h2').textContent())} opened in ${Date.now() - began} ms`);
  const seen = await page.locator('.deep').boundingBox();
  ok(seen.y > 0 && seen.y + seen.height <= 800, `it is in sight: ${JSON.stringify(seen)}`);
  ok(await drawn() < 60, `rows in sight: ${await drawn()}`);
  same(await page.getAttribute('.more >> nth=0', 'aria-expanded'), 'true');
  const took = await page.locator('.d .took').allTextContents();
  ok(took.every(t => /^\d+(\.\d)? (ns|µs|ms|s)$/.test(t)), `${took}`);
  await page.locator('.sight').focus();
  await page.keyboard.press('End');
  same(await page.locator('.d.on .label').textContent(), '✓ phase24999', 'the last of its group');
  same(await page.getAttribute('.sight', 'aria-activedescendant'), await page.getAttribute('.d.on', 'id'));
  await page.keyboard.press('ArrowUp');
  same(await page.locator('.d.on .label').textContent(), '✓ phase24998');
  ok((await page.locator('#c-deep').textContent()).includes('phase24998'), 'its card');
  await page.keyboard.press('Enter');
  same(await page.evaluate(() => document.activeElement.id), 'c-deep', 'Enter goes to the card');
  await page.keyboard.press('Escape');
  ok(await page.evaluate(() => document.activeElement.classList.contains('sight')), 'Escape goes back');
  await page.locator('[data-do=order]').click();
  await page.locator('.sight').focus();
  await page.keyboard.press('Home');
  const slow = await page.evaluate(() => [...document.querySelectorAll('.d .took')].map(e => parseFloat(e.textContent)));
  ok(slow.every((t, i) => i === 0 || slow[i - 1] >= t), `the slowest first: ${slow}`);
  await page.keyboard.press('Escape');
  ok(await page.locator('.deep').isHidden() && await page.evaluate(() => document.activeElement.className.includes('more')), 'Escape closes');
  await page.keyboard.press('Enter');
  ok(await page.locator('.deep').isVisible(), 'Enter opens');
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  const typed = Date.now();
  await page.keyboard.type('phase77777');
  await page.waitForFunction(() => document.querySelector('.found').textContent.startsWith('1 '));
  same(await page.locator('.found').textContent(), `1 of ${n}`, 'a folded phase is found');
  console.log(`${n} phases: ten letters of a filter took ${Date.now() - typed} ms`);
  same(await page.locator('.d .label').allTextContents(), ['✓ phase77777']);
  await page.keyboard.press('Escape');
  ok(await page.locator('.deep').isHidden(), 'the filter is gone');
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await page.locator('.more').first().click();
    const [ratio, text] = await contrast(page);
    ok(ratio >= 4.5, `folded, ${theme}: contrast ${ratio.toFixed(2)} of ${text}`);
    await page.screenshot({ path: join(dir, `folded-${theme}.png`) });
    await page.locator('.more').first().click();
  }
  await resize(page, 420);
  await page.locator('.more').first().click();
  ok(await overflow(page) <= 0, 'folded: no overflow');
  same(page.said, [], 'nothing on the console');
  await page.close();
}

// How soon there is something to see.
for (const n of [1000, 100000]) {
  const times = [];
  for (let i = 0; i < 3; i++) {
    const page = await open(`large-${n}.html`);
    times.push(await page.evaluate(async () => {
      for (;;) {
        const paint = performance.getEntriesByName('first-contentful-paint')[0];
        if (paint) return Math.round(paint.startTime);
        await new Promise(done => setTimeout(done, 20));
      }
    }));
    same(page.said, []);
    await page.close();
  }
  const kb = Math.round(statSync(join(dir, `large-${n}.html`)).size / 1000);
  console.log(`${n} phases: first picture after ${times.join(', ')} ms, ${kb} kB`);
  ok(Math.min(...times) < 1000, `${n} phases: first picture under 1 s`);
  ok(kb < 8000, `${n} phases: ${kb} kB`);
}

if (flag === '--update') {
  mkdirSync('docs/img', { recursive: true });
  for (const [name, theme, to] of [['drop', 'light', 'timeline-html-light'], ['drop', 'dark', 'timeline-html-dark'],
    ['failed', 'light', 'timeline-failed-light'], ['failed', 'dark', 'timeline-failed-dark'],
    ['parallel', 'light', 'timeline-parallel']]) {
    const page = await open(name + '.html', { colorScheme: theme, viewport: { width: 1100, height: 700 } });
    const file = `docs/img/${to}.png`;
    await page.screenshot({ path: file, fullPage: true });
    execFileSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--output', file, '64', file]);
    ok(statSync(file).size < 150_000, `${file} is small`);
    await page.close();
  }
  writeFileSync('docs/img/timeline.svg', readFileSync(join(dir, 'drop.svg')));
}
await browser.close();
server.close();
console.log(`${checks} checks in the browser passed`);
