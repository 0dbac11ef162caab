package ai.edgekit.demo;

import ai.edgekit.demo.runtime.Classifier;
import ai.edgekit.demo.runtime.CrashMarker;
import ai.edgekit.demo.runtime.DelegateFactory;
import ai.edgekit.demo.runtime.DelegateKind;
import ai.edgekit.demo.runtime.Frame;
import ai.edgekit.demo.runtime.ModelFile;
import ai.edgekit.demo.runtime.ModelFileException;
import ai.edgekit.demo.runtime.Preprocess;
import ai.edgekit.demo.runtime.Scores;

import java.io.Closeable;
import java.io.FileNotFoundException;
import java.io.IOException;

import org.tensorflow.lite.Delegate;

/** A model loaded on one delegate: pixels in, scores out, with the time that each part took. Belongs to one thread. */
final class Engine implements Closeable {
    final ModelFile model;
    final DelegateKind kind;

    /** Nanoseconds of the last answer. */
    long preprocessNanos;
    long inferenceNanos;

    private final Preprocess preprocess;
    private final Delegate delegate;
    private final Classifier classifier;
    private final CrashMarker marker;
    private boolean proven;

    private Engine(ModelFile model, DelegateKind kind, DelegateFactory delegates, CrashMarker marker) throws Exception {
        this.model = model;
        this.kind = kind;
        this.marker = marker;
        preprocess = new Preprocess(model.spec);
        Delegate made = null;
        Classifier opened = null;
        marker.trying(kind, model.digest);
        try {
            made = kind == DelegateKind.CPU ? null : delegates.create(kind, model);
            // As the self-test ran it: XNNPACK computes for the CPU alone.
            opened = new Classifier(model, made, DemoApplication.THREADS, kind == DelegateKind.CPU);
        } finally {
            if (opened == null && made != null) {
                made.close();
            }
            marker.done(kind, model.digest);
        }
        delegate = made;
        classifier = opened;
    }

    /**
     * Loads the model in use on the delegate in use.
     *
     * @throws NotReadyException there is none, it is damaged, untested or under test, or no delegate computes it
     *                           correctly
     */
    static Engine open(DemoApplication app) throws NotReadyException {
        ModelFile model;
        try {
            model = app.models.current();
        } catch (FileNotFoundException error) {
            throw NotReadyException.missing();
        } catch (IOException | ModelFileException error) {
            throw NotReadyException.damaged(error.getMessage());
        }
        return open(app, model);
    }

    /**
     * Loads a model on its delegate in use.
     *
     * @throws NotReadyException it is untested or under test, or no delegate computes it correctly
     */
    static Engine open(DemoApplication app, ModelFile model) throws NotReadyException {
        // During a test it would spoil the times, and remove the mark of the delegate that is being tried.
        if (app.selfTest.isRunning() || !app.choice.isTested(model)) {
            throw NotReadyException.untested();
        }
        DelegateKind kind = app.choice.inUse(model);
        if (kind == null) {
            throw NotReadyException.noneCorrect();
        }
        try {
            return new Engine(model, kind, app.delegates, app.marker);
        } catch (Exception | LinkageError error) {
            throw NotReadyException.failed(error.getMessage());
        }
    }

    /** The scores of a camera frame, by label; the array is reused. Allocates nothing after the first frame. */
    float[] classify(Frame frame) throws ModelFileException {
        long start = System.nanoTime();
        preprocess.frame(frame, classifier.input);
        return run(start);
    }

    /** The scores of a picture, 0xAARRGGBB row by row; the array is reused. */
    float[] classify(int[] argb, int width, int height) throws ModelFileException {
        long start = System.nanoTime();
        preprocess.image(argb, width, height, classifier.input);
        return run(start);
    }

    @Override
    public void close() {
        classifier.close();
        if (delegate != null) {
            delegate.close();
        }
    }

    private float[] run(long start) throws ModelFileException {
        preprocessNanos = System.nanoTime() - start;
        if (!proven) { // only now: an app that is closed before its first answer has not crashed
            marker.trying(kind, model.digest);
        }
        float[] scores;
        try {
            long prepared = System.nanoTime();
            scores = classifier.run();
            inferenceNanos = System.nanoTime() - prepared;
        } finally {
            if (!proven) {
                marker.done(kind, model.digest);
            }
        }
        proven = true;
        if (!Scores.areFinite(scores)) {
            throw new ModelFileException("The model answers with NaN or infinity.");
        }
        return scores;
    }
}
