package ai.edgekit.demo;

import android.content.ContentResolver;
import android.content.Context;
import android.content.res.AssetFileDescriptor;
import android.net.Uri;

import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.FileChannel;

/** The model in use: the one that the app carries, or one that the user opened, copied into the app's own storage. */
final class ModelStore {
    /** Largest file that can be opened. */
    static final int MAX_MEGABYTES = 512;

    static final String MODEL_ASSET = "model.tflite";
    static final String VECTORS_ASSET = "camera_vectors.json";
    private static final String CANDIDATE = "candidate";
    private static final int MAX_VECTORS_BYTES = 1 << 20;

    private final Context context;
    private ModelFile current;
    private ModelFile packaged;

    ModelStore(Context context) {
        this.context = context;
        File[] files = context.getFilesDir().listFiles();
        for (File file : files == null ? new File[0] : files) {
            if (file.getName().startsWith(CANDIDATE)) {
                file.delete(); // the process ended before it was used or refused
            }
        }
    }

    /** Says that a file is too large to be opened. */
    static final class TooLargeException extends IOException {
        private static final long serialVersionUID = 1;
    }

    /**
     * The model in use, read once per process.
     *
     * @throws FileNotFoundException the app carries none
     * @throws ModelFileException    it is damaged, or has no spec
     */
    synchronized ModelFile current() throws IOException, ModelFileException {
        if (current == null) {
            current = isOpened() ? read(openedFile()) : packaged();
        }
        return current;
    }

    /**
     * The model that the app carries, whatever was opened since; read once per process.
     *
     * @throws FileNotFoundException the app carries none
     * @throws ModelFileException    it is damaged, or has no spec
     */
    synchronized ModelFile packaged() throws IOException, ModelFileException {
        if (packaged != null) {
            return packaged;
        }
        try (AssetFileDescriptor asset = context.getAssets().openFd(MODEL_ASSET);
                FileInputStream in = new FileInputStream(asset.getFileDescriptor())) {
            packaged = ModelFile.read(in.getChannel().map(
                    FileChannel.MapMode.READ_ONLY, asset.getStartOffset(), asset.getDeclaredLength()));
            return packaged;
        }
    }

    /** Whether the model in use is one that the user opened. */
    boolean isOpened() {
        return openedFile().exists();
    }

    /** Returns to the model that the app carries. */
    synchronized void usePackaged() {
        if (openedFile().delete()) {
            current = null;
        }
    }

    /**
     * Copies a file into the app's storage, to be looked at before it is used. Each copy is a file of its own: the one
     * before it may still be mapped into memory and under test.
     *
     * @throws TooLargeException it is larger than MAX_MEGABYTES
     * @throws IOException       it cannot be read, or there is no room for it
     */
    File copy(ContentResolver resolver, Uri uri) throws IOException {
        File candidate = File.createTempFile(CANDIDATE, ".tflite", context.getFilesDir());
        boolean done = false;
        try (InputStream in = resolver.openInputStream(uri); OutputStream out = new FileOutputStream(candidate)) {
            if (in == null) {
                throw new FileNotFoundException();
            }
            copy(in, out, (long) MAX_MEGABYTES << 20);
            done = true;
        } catch (RuntimeException error) { // no permission, or whatever the other app throws
            throw new IOException(error);
        } finally {
            if (!done) {
                candidate.delete();
            }
        }
        return candidate;
    }

    /** Reads a file that was copied. */
    ModelFile read(File file) throws IOException, ModelFileException {
        try (FileInputStream in = new FileInputStream(file)) {
            return ModelFile.read(in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length()));
        } catch (OutOfMemoryError error) {
            throw new ModelFileException(context.getString(R.string.open_model_memory));
        }
    }

    /** Uses a file that was copied, read and tested; the one before it is forgotten. */
    synchronized void adopt(File candidate, ModelFile model) throws IOException {
        if (!candidate.renameTo(openedFile())) {
            throw new IOException("cannot rename the copy");
        }
        current = model;
    }

    /** The test frames that the package carries for its own model; null for another model, or without any. */
    byte[] cameraVectors(ModelFile model) throws IOException {
        if (model != packaged) {
            return null;
        }
        try (InputStream in = context.getAssets().open(VECTORS_ASSET)) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            copy(in, out, MAX_VECTORS_BYTES);
            return out.toByteArray();
        } catch (FileNotFoundException error) {
            return null;
        }
    }

    private File openedFile() {
        return new File(context.getFilesDir(), "opened.tflite");
    }

    private static void copy(InputStream in, OutputStream out, long most) throws IOException {
        byte[] buffer = new byte[1 << 16];
        long total = 0;
        for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
            total += count;
            if (total > most) {
                throw new TooLargeException();
            }
            out.write(buffer, 0, count);
        }
    }
}
