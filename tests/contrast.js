() => {
  // Contrast of every text that is shown with what lies behind it, by WCAG.
  const numbers = (css) => {
    const [r, g, b, a = 1] = (css.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    return [r, g, b, a];
  };
  const over = (top, under) =>
    [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const light = (color) => {
    const [r, g, b] = color.map((value) => {
      const c = value / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const chain = (element) =>
    element ? [element, ...chain(element.parentElement)] : [];
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const styles = chain(element).map((e) => getComputedStyle(e));
    const isIcon = element.matches('i.q-icon, script, style');
    const isOff = element.closest('.disabled, .q-slider__pin');
    const all = { opacityProperty: true, visibilityProperty: true };
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    const text = texts.currentNode.textContent.trim();
    const { width, height } = range.getBoundingClientRect();
    if (!text || !width || !height || isIcon || isOff) continue;
    if (!element.checkVisibility(all)) continue;
    const under = styles.reduceRight(
      (color, style) => over(numbers(style.backgroundColor), color),
      [255, 255, 255],
    );
    const ink = numbers(styles[0][element.ownerSVGElement ? 'fill' : 'color']);
    ink[3] *= styles.reduce((all, style) => all * style.opacity, 1);
    const [low, high] = [light(over(ink, under)), light(under)].sort();
    found.push([(high + 0.05) / (low + 0.05), text]);
  }
  return found;
}
