// Frames of this browser's camera, given to an uploader as a picture file.
// Each function returns '' or what went wrong.
const camera = {
  async start(video) {
    if (!navigator.mediaDevices) return 'this page may not use a camera';
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: {width: {ideal: 1280}},
      });
      await video.play();
      return '';
    } catch (error) {
      return error.message || error.name;
    }
  },
  stop(video) {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  },
  async take(video, uploader) {
    const frame = document.createElement('canvas');
    frame.width = video.videoWidth;
    frame.height = video.videoHeight;
    frame.getContext('2d').drawImage(video, 0, 0);
    const taken = (done) => frame.toBlob(done, 'image/jpeg', 0.92);
    const blob = await new Promise(taken);
    if (!blob) return 'no picture has come yet';
    uploader.addFiles([new File([blob], 'frame.jpg', {type: blob.type})]);
    return '';
  },
};
